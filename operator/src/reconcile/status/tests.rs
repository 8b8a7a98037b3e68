use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::failures::{self, Failure, schema_version};
use crate::model::{
    blog_meta::BlogMeta,
    observed::{Observed, PodWarning, ReplicaReport},
};
use flaskblog_api::Child;

fn failure(observed: &Observed) -> Option<Failure> {
    let id = BlogMeta { namespace: "press".into(), name: "daily".into(), uid: "1".into(), generation: None };
    failures::failure(&id, observed)
}

fn pod(created: &str, init: Value, main: Value) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": "daily-1", "creationTimestamp": created},
        "status": {
            "initContainerStatuses": [status("migrate", init)],
            "containerStatuses": [status("blog", main)],
        },
    }))
    .unwrap()
}

fn status(name: &str, state: Value) -> Value {
    json!({"name": name, "image": "i", "imageID": "", "ready": false, "restartCount": 0,
        "state": state["now"], "lastState": state["before"]})
}

fn migrated(version: i64) -> Value {
    json!({"now": {"terminated": {"exitCode": 0, "message": format!("schema version {version}\n")}}, "before": {}})
}

fn running() -> Value {
    json!({"now": {"running": {}}, "before": {}})
}

fn waiting(reason: &str, message: &str) -> Value {
    json!({"now": {"waiting": {"reason": reason, "message": message}}, "before": {}})
}

fn with_pods(app_pods: Vec<Pod>) -> Observed {
    Observed { app_pods, ..Observed::default() }
}

#[test]
fn the_newest_pods_migration_tells_the_schema_version() {
    let old = pod("2026-01-01T00:00:00Z", migrated(1), running());
    let new = pod("2026-01-02T00:00:00Z", migrated(2), running());
    assert_eq!(schema_version(&with_pods(vec![new, old])), Some(2));
    assert_eq!(schema_version(&with_pods(vec![])), None);
}

#[test]
fn an_image_that_cannot_be_pulled_is_a_failing_pod_in_the_kubelets_words() {
    let pods = with_pods(vec![pod(
        "2026-01-01T00:00:00Z",
        waiting("ErrImagePull", "no such image"),
        waiting("PodInitializing", ""),
    )]);
    let failure = failure(&pods).unwrap();
    assert_eq!(failure.reason, "PodFailing");
    assert_eq!(
        failure.message,
        "Pod daily-1: container migrate: ErrImagePull: no such image; to name another image: kubectl edit fb daily -n press"
    );
}

#[test]
fn a_migration_that_exits_badly_is_named_as_such_also_between_two_tries_and_while_it_is_tried_again() {
    let now = json!({"now": {"terminated": {"exitCode": 1, "message": "table is locked"}}, "before": {}});
    let between = json!({"now": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}},
        "before": {"terminated": {"exitCode": 1, "message": "table is locked"}}});
    let again = json!({"now": {"running": {}}, "before": {"terminated": {"exitCode": 1, "message": "table is locked"}}});
    for state in [now, between, again] {
        let failure = failure(&with_pods(vec![pod("2026-01-01T00:00:00Z", state, running())])).unwrap();
        assert_eq!(failure.reason, "MigrationFailed");
        assert!(failure.message.contains("exit code 1: table is locked"), "{}", failure.message);
    }
}

#[test]
fn of_a_long_log_the_errors_are_told_and_of_those_the_last() {
    let log =
        format!("[System] {}\n[ERROR] unknown variable\n[System] Shutdown complete", "start ".repeat(200));
    let state = |log: &str| json!({"now": {"terminated": {"exitCode": 1, "message": log}}, "before": {}});
    let message = |log: &str| {
        failure(&with_pods(vec![pod("2026-01-01T00:00:00Z", running(), state(log))])).unwrap().message
    };
    let log_command = "; its log: kubectl logs daily-1 -n press -c blog --tail=50";
    assert_eq!(
        message(&log),
        format!("Pod daily-1: container blog failed: exit code 1: [ERROR] unknown variable{log_command}")
    );
    assert!(message(&format!("{}denied", "waiting ".repeat(200))).ends_with(&format!("denied{log_command}")));
}

#[test]
fn starting_and_running_pods_are_no_failure() {
    for (init, main) in
        [(migrated(2), running()), (waiting("PodInitializing", ""), waiting("ContainerCreating", ""))]
    {
        assert_eq!(failure(&with_pods(vec![pod("2026-01-01T00:00:00Z", init, main)])), None);
    }
    // The server itself, recovered after a fault.
    let back = json!({"now": {"running": {}}, "before": {"terminated": {"exitCode": 1}}});
    assert_eq!(failure(&with_pods(vec![pod("2026-01-01T00:00:00Z", migrated(2), back)])), None);
}

#[test]
fn a_pod_that_fits_no_node_is_reported_with_the_schedulers_words() {
    let pod = serde_json::from_value(json!({
        "metadata": {"name": "daily-1"},
        "status": {"conditions": [{"type": "PodScheduled", "status": "False", "message": "Insufficient memory"}]},
    }))
    .unwrap();
    assert_eq!(
        failure(&with_pods(vec![pod])).unwrap().message,
        "Pod daily-1: can't be scheduled: Insufficient memory; to ask for less, or for other nodes: \
         kubectl edit fb daily -n press"
    );
}

#[test]
fn quotes_are_whole_lines_and_the_plain_ones_come_first() {
    let log = "…\",\"retry_in_ms\":\"10000\"}\n{\"level\":\"WARN\",\"message\":\"no database\"}\ngave up on the database after 300 s: refused\n";
    let state = json!({"now": {"terminated": {"exitCode": 1, "message": log}}, "before": {}});
    let message = failure(&with_pods(vec![pod("2026-01-01T00:00:00Z", state, running())])).unwrap().message;
    assert_eq!(
        message,
        "Pod daily-1: container migrate failed: exit code 1: gave up on the database after 300 s: refused; \
         its log: kubectl logs daily-1 -n press -c migrate --tail=50"
    );
    let long = format!("first line\n{}\nlast line", "word ".repeat(60));
    let state = json!({"now": {"terminated": {"exitCode": 1, "message": long}}, "before": {}});
    let message = failure(&with_pods(vec![pod("2026-01-01T00:00:00Z", state, running())])).unwrap().message;
    assert!(message.contains("exit code 1: last line; its log: "), "{message}");
}

#[test]
fn container_out_of_memory_names_the_limit_to_raise() {
    let end = json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}});
    let starting = json!({"running": {}});
    let waiting = json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}});
    for now in [starting, waiting, end.clone()] {
        let state = json!({"now": now, "before": end});
        let message =
            failure(&with_pods(vec![pod("2026-01-01T00:00:00Z", migrated(3), state)])).unwrap().message;
        assert!(
            message.contains("OOMKilled; raise spec.resources.limits.memory: kubectl edit fb"),
            "{message}"
        );
    }
}

fn refused(role: Child) -> PodWarning {
    PodWarning {
        role,
        is_refused: true,
        object: "StatefulSet daily-mysql".into(),
        message: "exceeded quota: q".into(),
    }
}

const LIMITS: &str = "; what is allowed: kubectl describe resourcequota,limitrange -n press; \
    to change what the pods ask for: kubectl edit fb daily -n press";

fn child(role: Child, status: Value) -> Observed {
    let object = json!({"metadata": {"name": "daily", "generation": 1}, "spec": {}, "status": status});
    let children = [(role, std::sync::Arc::new(serde_json::from_value(object).unwrap()))].into();
    Observed { children, ..Observed::default() }
}

#[test]
fn refused_pods_are_quoted_before_the_migration_that_waits() {
    let failed =
        json!({"now": {"terminated": {"exitCode": 1, "message": "Name or service not known"}}, "before": {}});
    let mut observed = child(Child::Database, json!({"readyReplicas": 0}));
    observed.app_pods = vec![pod("2026-01-01T00:00:00Z", failed, running())];
    assert_eq!(failure(&observed), None, "MySQL's absence is the cause");
    observed.pod_warnings = vec![refused(Child::Database)];
    let found = failure(&observed).unwrap();
    assert_eq!(
        (found.reason, found.message.as_str()),
        ("PodsRefused", format!("StatefulSet daily-mysql: exceeded quota: q{LIMITS}").as_str())
    );
}

#[test]
fn refused_replicas_are_quoted_from_the_deployment() {
    let refused = json!([{"type": "ReplicaFailure", "status": "True", "message": "pods is forbidden: exceeded quota: q"}]);
    let found = failure(&child(Child::App, json!({"conditions": refused}))).unwrap();
    assert_eq!(found.reason, "PodsRefused");
    assert_eq!(found.message, format!("Deployment daily: pods is forbidden: exceeded quota: q{LIMITS}"));
    let policy = json!([{"type": "ReplicaFailure", "status": "True", "message": "denied by a policy"}]);
    let found = failure(&child(Child::App, json!({"conditions": policy}))).unwrap();
    assert_eq!(
        found.message,
        "Deployment daily: denied by a policy; to change what the pods ask for: kubectl edit fb daily -n press"
    );
}

#[test]
fn failing_pods_advise_what_shows_their_cause() {
    let advice = |main: Value| {
        let pods = with_pods(vec![pod("2026-01-01T00:00:00Z", migrated(3), main)]);
        let message = failure(&pods).unwrap().message;
        message.rsplit_once("; ").unwrap().1.to_owned()
    };
    assert_eq!(
        advice(waiting("CreateContainerConfigError", "secret \"x\" not found")),
        "its Events: kubectl describe pod daily-1 -n press"
    );
    let crashed = json!({"now": {"waiting": {"reason": "CrashLoopBackOff"}},
        "before": {"terminated": {"exitCode": 1, "message": "no"}}});
    assert_eq!(advice(crashed), "its log: kubectl logs daily-1 -n press -c blog --tail=50");
    let again = json!({"now": {"running": {}}, "before": {"terminated": {"exitCode": 1, "message": "no"}}});
    let pods = with_pods(vec![pod("2026-01-01T00:00:00Z", again, waiting("PodInitializing", ""))]);
    let message = failure(&pods).unwrap().message;
    assert!(message.ends_with("kubectl logs daily-1 -n press -c migrate --tail=50 --previous"), "{message}");
    let warning = PodWarning {
        role: Child::App,
        is_refused: false,
        object: "Pod daily-1".into(),
        message: "no volume".into(),
    };
    let message = failure(&Observed { pod_warnings: vec![warning], ..Observed::default() }).unwrap().message;
    assert_eq!(message, "Pod daily-1: no volume; its Events: kubectl describe pod daily-1 -n press");
    let unbound = serde_json::from_value(
        json!({"metadata": {"name": "daily-mysql-0"}, "status": {"conditions": [
        {"type": "PodScheduled", "status": "False", "message": "unbound immediate PersistentVolumeClaims"}]}}),
    );
    let message = failure(&with_pods(vec![unbound.unwrap()])).unwrap().message;
    assert!(message.ends_with("its claim: kubectl describe pvc data-daily-mysql-0 -n press"), "{message}");
}

#[test]
fn unusable_database_advises_by_its_cause() {
    let advice = |schema, is_managed: bool| {
        let (pod, cause) = ("daily-1".into(), "no".into());
        let role = if is_managed { Child::Database } else { Child::App };
        let replica_report = Some(ReplicaReport::Failing { pod, cause, schema });
        let observed = Observed { replica_report, ..child(role, json!({"readyReplicas": 1})) };
        failure(&observed).unwrap().message
    };
    let migrate = "Pod daily-1 can't use the database: no; after a restored backup, this runs the migration: \
         kubectl rollout restart deployment daily -n press";
    assert_eq!(advice(Some(0), true), migrate);
    assert!(
        advice(None, true)
            .ends_with("no; MySQL's log: kubectl logs daily-mysql-0 -n press -c mysql --tail=50")
    );
    assert!(advice(None, false).ends_with("no; its log: kubectl logs daily-1 -n press -c blog --tail=50"));
}

/// The kubelet caches an immutable Secret, so new replicas read old keys.
#[test]
fn replica_that_ends_by_its_session_keys_advises_new_ones() {
    let end =
        "error: the session key in /etc/blog/session/current has 7 bytes: write at least 16 random ones";
    let pod =
        serde_json::from_value(json!({"metadata": {"name": "daily-1"}, "status": {"containerStatuses": [
        {"name": "blog", "image": "i", "imageID": "", "ready": false, "restartCount": 3,
         "state": {"waiting": {"reason": "CrashLoopBackOff"}},
         "lastState": {"terminated": {"exitCode": 1, "message": end}}}]}}));
    let Failure { reason, message } = failure(&with_pods(vec![pod.unwrap()])).unwrap();
    assert_eq!(reason, "SessionKeysUnreadable");
    assert!(
        message.contains("7 bytes") && message.contains("kubectl delete secret daily-session -n press"),
        "{message}"
    );
    assert!(
        message
            .contains(r#"kubectl patch fb daily -n press --type=merge -p '{"spec":{"hibernate":true}}'; "#),
        "{message}"
    );
}
