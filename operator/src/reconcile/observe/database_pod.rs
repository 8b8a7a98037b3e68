//! MySQL's pod by container (no client required): MySQL serves whatever the state of its second container.

use flaskblog_api::Child;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::ResourceExt;

use crate::model::{
    containers::{MYSQL_CONTAINER, is_credential_sync},
    observed::Observed,
};

/// Whether MySQL itself is ready in a pod of the newest template.
///
/// This is known where the pod was read, which is the case while the pod as a whole isn't ready.
#[must_use]
pub fn mysql_serves(observed: &Observed) -> bool {
    let (Some(pod), Some(set)) = (&observed.database_pod, observed.children.get(&Child::Database)) else {
        return false;
    };
    let status = &set.data["status"];
    let current = status["observedGeneration"].as_i64() == set.metadata.generation;
    let revision = pod.labels().get("controller-revision-hash").map(String::as_str);
    let newest = revision.is_some() && revision == status["updateRevision"].as_str();
    current && newest && pod.metadata.deletion_timestamp.is_none() && is_ready(pod, MYSQL_CONTAINER)
}

/// The command for a credential container that fails to change MySQL.
///
/// Such a container is running and isn't ready, see `desired/credential_sync.sh`. One that isn't running is a failing pod.
#[must_use]
pub fn credential_sync_failure(observed: &Observed) -> Option<String> {
    let pod = observed.database_pod.as_ref().filter(|_| mysql_serves(observed))?;
    let sync = find(pod, is_credential_sync).filter(|sync| !sync.ready)?;
    sync.state.as_ref()?.running.as_ref()?;
    let (name, namespace, container) = (pod.name_any(), pod.namespace().unwrap_or_default(), &sync.name);
    Some(format!(
        "container {container} of Pod {name} fails to bring into MySQL what the Secrets hold (a password, the account's rights \
         or the certificate), and no new password of root is begun before it does; MySQL serves. The \
         log names the cause: kubectl logs {name} --container {container} --namespace {namespace}"
    ))
}

fn is_ready(pod: &Pod, name: &str) -> bool {
    find(pod, |container| container == name).is_some_and(|container| container.ready)
}

fn find(pod: &Pod, is_wanted: impl Fn(&str) -> bool) -> Option<&ContainerStatus> {
    pod.status.as_ref()?.container_statuses.iter().flatten().find(|container| is_wanted(&container.name))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn observed(revision: &str, mysql: bool, sync: &Value) -> Observed {
        let pod = json!({"metadata": {"name": "x-mysql-0", "namespace": "press", "labels": {"controller-revision-hash": revision}},
            "status": {"containerStatuses": [
                {"name": "mysql", "ready": mysql, "restartCount": 0, "image": "", "imageID": ""}, sync]}});
        let set = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "x-mysql", "generation": 1},
            "status": {"observedGeneration": 1, "updateRevision": "new", "readyReplicas": 0}});
        Observed {
            database_pod: Some(serde_json::from_value(pod).unwrap()),
            children: [(Child::Database, std::sync::Arc::new(serde_json::from_value(set).unwrap()))].into(),
            ..Observed::default()
        }
    }

    fn sync(ready: bool, state: &str) -> Value {
        json!({"name": "credential-sync", "ready": ready, "restartCount": 0, "image": "", "imageID": "", "state": {state: {}}})
    }

    #[test]
    fn mysql_serves_while_credential_sync_fails() {
        let observed = observed("new", true, &sync(false, "running"));
        assert!(mysql_serves(&observed));
        let words = credential_sync_failure(&observed).unwrap();
        assert!(
            words.contains("kubectl logs x-mysql-0 --container credential-sync --namespace press"),
            "{words}"
        );
    }

    #[test]
    fn ready_or_absent_credential_sync_is_no_failure() {
        assert_eq!(credential_sync_failure(&observed("new", true, &sync(true, "running"))), None);
        assert_eq!(credential_sync_failure(&observed("new", true, &sync(false, "waiting"))), None);
        for (revision, mysql) in [("old", true), ("new", false)] {
            let observed = observed(revision, mysql, &sync(false, "running"));
            assert!(
                !mysql_serves(&observed) && credential_sync_failure(&observed).is_none(),
                "{revision} {mysql}"
            );
        }
    }
}
