//! Finds the pod that Kubernetes never repairs by itself (no client required).

use k8s_openapi::api::{apps::v1::StatefulSet, core::v1::Pod};
use kube::{ResourceExt, api::DynamicObject};

use crate::model::{observed::Observed, pod::is_ready};

/// MySQL's pod, if it is not ready and has an older revision.
///
/// A StatefulSet waits for such a pod to become ready before it replaces it, for ever if its template was broken
/// (<https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#forced-rollback>). The operator deletes only such a
/// pod.
#[must_use]
pub fn stuck_database_pod<'a>(
    observed: &'a Observed,
    statefulset: Option<&DynamicObject>,
) -> Option<&'a Pod> {
    let pod = observed.database_pod.as_ref()?;
    let statefulset: StatefulSet = statefulset?.clone().try_parse().ok()?;
    let status = statefulset.status.as_ref()?;
    // Until the controller has observed the newest template, its updateRevision is stale.
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
