//! Which pod Kubernetes will never repair by itself (no client required).

use k8s_openapi::api::{apps::v1::StatefulSet, core::v1::Pod};
use kube::{ResourceExt, api::DynamicObject};

use crate::model::{observed::Observed, pod::is_ready};

/// A StatefulSet waits for a pod of an old template to become ready before it replaces it; if that template was broken,
/// it waits for ever (<https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#forced-rollback>).
/// Such a pod, and only such a one, is deleted by the operator: not ready, and of another revision than the newest.
#[must_use]
pub fn stuck_database_pod<'a>(
    observed: &'a Observed,
    statefulset: Option<&DynamicObject>,
) -> Option<&'a Pod> {
    let pod = observed.database_pod.as_ref()?;
    let statefulset: StatefulSet = statefulset?.clone().try_parse().ok()?;
    let status = statefulset.status.as_ref()?;
    // Until the controller has seen the newest template, its updateRevision speaks of an older one.
    let seen =
        status.observed_generation.is_some() && status.observed_generation == statefulset.metadata.generation;
    let newest = status.update_revision.as_deref()?;
    let revision = pod.labels().get("controller-revision-hash").map(String::as_str)?;
    (seen && revision != newest && !is_ready(pod) && pod.metadata.deletion_timestamp.is_none()).then_some(pod)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn statefulset(observed_generation: i64) -> DynamicObject {
        serde_json::from_value(json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet",
            "metadata": {"name": "x-mysql", "generation": 2},
            "spec": {"selector": {}, "serviceName": "x-mysql", "template": {}},
            "status": {"observedGeneration": observed_generation, "updateRevision": "new", "replicas": 1},
        }))
        .unwrap()
    }

    fn observed(revision: &str, ready: &str) -> Observed {
        let pod = serde_json::from_value(json!({
            "metadata": {"name": "x-mysql-0", "labels": {"controller-revision-hash": revision}},
            "status": {"conditions": [{"type": "Ready", "status": ready}]},
        }))
        .unwrap();
        Observed { database_pod: Some(pod), ..Observed::default() }
    }

    #[test]
    fn an_unready_pod_of_an_old_revision_is_stuck() {
        assert!(stuck_database_pod(&observed("old", "False"), Some(&statefulset(2))).is_some());
    }

    #[test]
    fn a_ready_pod_a_current_pod_and_an_unseen_template_are_left_to_kubernetes() {
        assert!(stuck_database_pod(&observed("old", "True"), Some(&statefulset(2))).is_none());
        assert!(stuck_database_pod(&observed("new", "False"), Some(&statefulset(2))).is_none());
        assert!(stuck_database_pod(&observed("old", "False"), Some(&statefulset(1))).is_none());
        assert!(stuck_database_pod(&observed("old", "False"), None).is_none());
    }
}
