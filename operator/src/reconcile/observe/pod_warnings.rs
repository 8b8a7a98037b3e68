//! Events of the controllers and the kubelet on why pods are missing or don't start.

use std::sync::Arc;

use flaskblog_api::Child;
use k8s_openapi::{
    api::{core::v1::Pod, events::v1::Event},
    jiff::Timestamp,
};
use kube::{
    Api, Client, ResourceExt,
    api::{DynamicObject, ListParams},
};

use crate::model::{blog_meta::BlogMeta, error::Error, objects::ByRole, observed::PodWarning};

/// Largest number of Events that are read of one object.
const EVENTS: u32 = 50;

/// An object whose Events explain a missing or waiting pod.
#[derive(Debug, PartialEq, Eq)]
struct Subject {
    role: Child,
    kind: &'static str,
    name: String,
}

/// Reads the Events of pods that don't start (client required).
///
/// # Errors
/// [`Error::Read`] when the API server doesn't answer or forbids it.
pub async fn read_pod_warnings(
    client: &Client,
    id: &BlogMeta,
    children: &ByRole,
    database_pod: Option<&Pod>,
    app_pods: &[Pod],
) -> Result<Vec<PodWarning>, Error> {
    let mut warnings = Vec::new();
    for subject in subjects(id, children, database_pod, app_pods) {
        let events = list_events(client, id, &subject).await?;
        warnings.extend(warning(subject, events));
    }
    Ok(warnings)
}

fn subjects(id: &BlogMeta, children: &ByRole, database_pod: Option<&Pod>, app_pods: &[Pod]) -> Vec<Subject> {
    let set = children.get(&Child::Database).filter(|set| lacks_pods(set));
    let of_set = set.map(|_| (Child::Database, "StatefulSet", Child::Database.name(&id.name)));
    let waiting = |role, pod: &Pod| (role, "Pod", pod.name_any());
    let of_database = database_pod.filter(|pod| is_waiting(pod)).map(|pod| waiting(Child::Database, pod));
    let of_app = app_pods.iter().find(|pod| is_waiting(pod)).map(|pod| waiting(Child::App, pod));
    let all = [of_set, of_database, of_app].into_iter().flatten();
    all.map(|(role, kind, name)| Subject { role, kind, name }).collect()
}

/// Whether a pod is missing after the controller observed the newest generation.
fn lacks_pods(set: &Arc<DynamicObject>) -> bool {
    let status = &set.data["status"];
    let has_seen =
        status["observedGeneration"].as_i64() == set.metadata.generation && set.metadata.generation.is_some();
    let wants = set.data["spec"]["replicas"].as_i64().unwrap_or(1) > 0;
    has_seen && wants && status["replicas"].as_i64().unwrap_or(0) == 0
}

/// Whether the kubelet has started no container and reports no reason.
fn is_waiting(pod: &Pod) -> bool {
    let Some(status) = &pod.status else { return false };
    let containers = || status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    let is_silent =
        |reason: Option<&str>| matches!(reason, None | Some("" | "ContainerCreating" | "PodInitializing"));
    let waits = |one: &k8s_openapi::api::core::v1::ContainerStatus| {
        let waiting = one.state.as_ref().and_then(|state| state.waiting.as_ref());
        waiting.is_some_and(|waiting| is_silent(waiting.reason.as_deref()))
    };
    status.phase.as_deref() == Some("Pending")
        && pod.metadata.deletion_timestamp.is_none()
        && containers().next().is_some()
        && containers().all(waits)
}

async fn list_events(client: &Client, id: &BlogMeta, subject: &Subject) -> Result<Vec<Event>, Error> {
    let api: Api<Event> = Api::namespaced(client.clone(), &id.namespace);
    let fields = format!("regarding.kind={},regarding.name={}", subject.kind, subject.name);
    let listed = api.list(&ListParams::default().fields(&fields).limit(EVENTS)).await;
    listed.map(|events| events.items).map_err(|source| Error::Read {
        kind: "events".into(),
        name: format!("of {} {}", subject.kind, subject.name),
        source: Box::new(source),
    })
}

/// The newest Event, if it is a Warning. A later Normal Event means recovery.
fn warning(subject: Subject, events: Vec<Event>) -> Option<PodWarning> {
    let newest = events.into_iter().max_by_key(time)?;
    let message = newest.note.filter(|_| newest.type_.as_deref() == Some("Warning"))?;
    Some(PodWarning {
        role: subject.role,
        is_refused: subject.kind != "Pod",
        object: format!("{} {}", subject.kind, subject.name),
        message,
    })
}

fn time(event: &Event) -> Option<Timestamp> {
    let series = event.series.as_ref().map(|series| series.last_observed_time.0);
    let last = event.deprecated_last_timestamp.as_ref().map(|time| time.0);
    let first = event.event_time.as_ref().map(|time| time.0);
    series.max(last).max(first).or(event.creation_timestamp().map(|time| time.0))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn event(type_: &str, at: &str, note: &str) -> Event {
        serde_json::from_value(
            json!({"type": type_, "note": note, "deprecatedLastTimestamp": at, "metadata": {}}),
        )
        .unwrap()
    }

    fn subject() -> Subject {
        Subject { role: Child::Database, kind: "StatefulSet", name: "daily-mysql".into() }
    }

    #[test]
    fn newest_event_counts_if_it_is_a_warning() {
        let refused = || event("Warning", "2026-01-01T00:00:05Z", "exceeded quota");
        let earlier = || event("Normal", "2026-01-01T00:00:01Z", "claim created");
        let found = warning(subject(), vec![refused(), earlier()]).unwrap();
        assert_eq!(
            (found.object.as_str(), found.message.as_str()),
            ("StatefulSet daily-mysql", "exceeded quota")
        );
        let over = event("Normal", "2026-01-01T00:00:09Z", "pod created");
        assert_eq!(warning(subject(), vec![refused(), over]), None);
        assert_eq!(warning(subject(), Vec::new()), None);
    }

    #[test]
    fn events_are_read_only_where_pods_are_missing_or_silent() {
        let id =
            BlogMeta { namespace: "press".into(), name: "daily".into(), uid: "1".into(), generation: None };
        let set = |status: Value| -> ByRole {
            let set = json!({"metadata": {"name": "daily-mysql", "generation": 1}, "spec": {"replicas": 1}, "status": status});
            [(Child::Database, Arc::new(serde_json::from_value(set).unwrap()))].into()
        };
        let pod = |reason: &str| -> Pod {
            serde_json::from_value(
                json!({"metadata": {"name": "daily-1"}, "status": {"phase": "Pending", "containerStatuses":
                [{"name": "blog", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
                  "state": {"waiting": {"reason": reason}}}]}}),
            )
            .unwrap()
        };
        let names = |children: &ByRole, pods: &[Pod]| -> Vec<String> {
            subjects(&id, children, None, pods)
                .into_iter()
                .map(|one| format!("{} {}", one.kind, one.name))
                .collect()
        };
        assert_eq!(names(&set(json!({"observedGeneration": 1})), &[]), ["StatefulSet daily-mysql"]);
        assert_eq!(names(&set(json!({"observedGeneration": 1, "replicas": 1})), &[]), [""; 0]);
        assert_eq!(names(&set(json!({})), &[]), [""; 0], "no controller has seen it");
        assert_eq!(names(&ByRole::new(), &[pod("ErrImagePull"), pod("ContainerCreating")]), ["Pod daily-1"]);
    }
}
