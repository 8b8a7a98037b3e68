//! The commands for failing pods, replicas and databases, run by a real kubectl.
//!
//! No kubelet runs here, so a command that reads a log prints nothing. The API server still refuses it if the pod or the
//! container doesn't exist, and the tests rely on that. Pods and their statuses are the tests' own, the messages the
//! operator's.

use std::net::IpAddr;

use axum::{Router, http::StatusCode, routing::get};
use flaskblog_api::Child;
use k8s_openapi::api::core::v1::{LimitRange, Secret};
use operator::cache::replica_health::ADMIN_PORT;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{
    follow::{
        container, crashing, create, delete_pod, edit, failing_pod, follow, is_over, pod_becomes, reconcile,
        reported, running, try_pod, waiting, workload_becomes,
    },
    house::House,
};

/// A blog whose MySQL serves.
async fn with_mysql(namespace: &str, spec: Value) -> House {
    let house = House::open(namespace).await;
    house.blog("blog", spec).await;
    workload_becomes(&house, Child::Database, 1, 1).await;
    house
}

/// A blog with one replica on an external database.
async fn with_external_database(namespace: &str) -> House {
    let house = House::open(namespace).await;
    create::<Secret>(
        &house,
        json!({"metadata": {"name": "theirs"}, "stringData": {"username": "u", "password": "p"}}),
    )
    .await;
    let external = json!({"host": "wrong.example", "credentialsSecret": "theirs"});
    house.apply("blog", json!({"replicas": 1, "database": {"external": external}})).await.unwrap();
    house.child("blog", Child::App).await;
    house
}

/// Serves `/readyz` at its own address.
async fn replica_at(address: IpAddr, code: StatusCode, body: &'static str) -> tokio::task::JoinHandle<()> {
    let listener = TcpListener::bind((address, ADMIN_PORT)).await.unwrap();
    let router = Router::new().route("/readyz", get(move || std::future::ready((code, body))));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() })
}

/// A replica that Kubernetes reports as ready.
async fn ready_replica(house: &House, address: IpAddr) {
    try_pod(house, Child::App, "blog-1").await.unwrap();
    let status = json!({"phase": "Running", "podIP": address, "podIPs": [{"ip": address}],
        "conditions": [{"type": "Ready", "status": "True"}]});
    pod_becomes(house, "blog-1", status).await;
    workload_becomes(house, Child::App, 1, 1).await;
}

/// Waits until the child's pod template contains that text.
async fn template_has(house: &House, role: Child, text: &str) {
    let found = async || {
        let template = house.child("blog", role).await.data["spec"]["template"].to_string();
        template.contains(text).then_some(())
    };
    house.eventually(&format!("the template has {text}"), found).await;
}

#[tokio::test]
async fn pod_with_a_wrong_image_is_fixed_by_its_command() {
    let house = with_mysql("advice-image", json!({"replicas": 1, "image": "none.test/blog:1"})).await;
    let pulls =
        json!({"phase": "Pending", "containerStatuses": [waiting("blog", "ErrImagePull", "not found")]});
    failing_pod(&house, Child::App, "blog-1", pulls).await;
    edit(&reported(&house, "PodFailing").await, "none.test/blog:1", "some.test/blog:2").await;
    template_has(&house, Child::App, "some.test/blog:2").await;
    delete_pod(&house, "blog-1").await;
    house.settled("blog", 1).await;
    is_over(&house, "PodFailing").await;
}

/// Failures of MySQL's pod, each with the output of its command.
fn failures() -> Vec<(Value, &'static str, &'static str)> {
    let unbound = json!([{"type": "PodScheduled", "status": "False", "message": "unbound immediate PersistentVolumeClaims"}]);
    let small = json!([{"type": "PodScheduled", "status": "False", "message": "Insufficient memory"}]);
    let killed = json!({"state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}});
    vec![
        (json!({"containerStatuses": [crashing("mysql", "unknown variable")]}), "logs", ""),
        (json!({"initContainerStatuses": [crashing("prepare", "no space")]}), "logs", ""),
        (
            json!({"containerStatuses": [waiting("mysql", "CreateContainerConfigError", "no key")]}),
            "describe pod",
            "blog-mysql-0",
        ),
        (json!({"containerStatuses": [container("mysql", false, killed)]}), "edit fb", "700Mi"),
        (json!({"conditions": unbound}), "describe pvc", "data-blog-mysql-0"),
        (json!({"conditions": small}), "edit fb", "700Mi"),
    ]
}

#[tokio::test]
async fn commands_for_failing_pods_of_mysql_find_their_objects() {
    let house = House::open("advice-failing").await;
    let memory = |size: &str| json!({"database": {"managed": {"resources": {"limits": {"memory": size}}}}});
    let claim = json!({"metadata": {"name": "data-blog-mysql-0", "labels": {"app.kubernetes.io/name": "flaskblog",
        "app.kubernetes.io/instance": "blog"}}, "spec": {"accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}}}});
    house.blog("blog", memory("700Mi")).await;
    create::<k8s_openapi::api::core::v1::PersistentVolumeClaim>(&house, claim).await;
    for (count, (status, command, printed)) in failures().into_iter().enumerate() {
        failing_pod(&house, Child::Database, "blog-mysql-0", status.clone()).await;
        reconcile(&house, count).await;
        let next = || async {
            let message = reported(&house, "PodFailing").await;
            message.contains(&format!("kubectl {command} ")).then_some(message)
        };
        let message = house.eventually(&format!("{command} is advised for {status}"), next).await;
        if command == "edit fb" {
            edit(&message, printed, "900Mi").await;
            template_has(&house, Child::Database, "900Mi").await;
            house.apply("blog", memory(printed)).await.unwrap();
            template_has(&house, Child::Database, printed).await;
        } else {
            assert!(follow(&message, command).await.contains(printed), "{message}");
        }
        delete_pod(&house, "blog-mysql-0").await;
    }
    house.settled("blog", 2).await;
    is_over(&house, "PodFailing").await;
}

#[tokio::test]
async fn log_of_a_failed_migration_is_found_by_its_command() {
    let house = with_mysql("advice-migration", json!({"replicas": 1})).await;
    let failed = json!({"initContainerStatuses": [crashing("migrate", "table is locked")]});
    failing_pod(&house, Child::App, "blog-1", failed).await;
    follow(&reported(&house, "MigrationFailed").await, "logs").await;
    let again = container(
        "migrate",
        false,
        json!({"state": {"running": {}}, "lastState": {"terminated": {"exitCode": 1}}}),
    );
    pod_becomes(&house, "blog-1", json!({"initContainerStatuses": [again]})).await;
    reconcile(&house, 1).await;
    let previous = async || {
        let message = reported(&house, "MigrationFailed").await;
        message.contains("--previous").then_some(message)
    };
    follow(&house.eventually("the log before is advised", previous).await, "logs").await;
    delete_pod(&house, "blog-1").await;
    house.settled("blog", 1).await;
    is_over(&house, "MigrationFailed").await;
}

/// The API server's own refusal, as the StatefulSet's controller publishes it.
#[tokio::test]
async fn refused_pods_are_created_after_their_commands() {
    let house = House::open("advice-refused").await;
    let limit = json!({"type": "Container", "max": {"memory": "600Mi"}});
    create::<LimitRange>(&house, json!({"metadata": {"name": "small"}, "spec": {"limits": [limit]}})).await;
    let resources = json!({"limits": {"memory": "900Mi"}});
    house.blog("blog", json!({"database": {"managed": {"resources": resources}}})).await;
    let refusal = try_pod(&house, Child::Database, "blog-mysql-0").await.unwrap_err();
    let event = json!({"metadata": {"name": "refused"}, "type": "Warning", "reason": "FailedCreate", "action": "Create",
        "reportingController": "tests", "reportingInstance": "tests", "eventTime": "2026-01-01T00:00:00.000000Z",
        "note": format!("create Pod blog-mysql-0 failed: {refusal}"),
        "regarding": {"kind": "StatefulSet", "name": "blog-mysql", "namespace": house.namespace}});
    create::<k8s_openapi::api::events::v1::Event>(&house, event).await;
    workload_becomes(&house, Child::Database, 0, 0).await;
    let message = reported(&house, "PodsRefused").await;
    assert!(follow(&message, "describe").await.contains("600Mi"), "{message}");
    edit(&message, "900Mi", "500Mi").await;
    let created = async || try_pod(&house, Child::Database, "blog-mysql-0").await.ok();
    house.eventually("the pod is created", created).await;
    house.settled("blog", 2).await;
    is_over(&house, "PodsRefused").await;
}

#[tokio::test]
async fn unusable_database_is_migrated_by_its_command() {
    let house = with_mysql("advice-unusable", json!({"replicas": 1})).await;
    try_pod(&house, Child::Database, "blog-mysql-0").await.unwrap();
    let address = [127, 82, 0, 1].into();
    let old =
        replica_at(address, StatusCode::SERVICE_UNAVAILABLE, "the schema is version 0\nschema version 0\n")
            .await;
    ready_replica(&house, address).await;
    follow(&reported(&house, "DatabaseUnusable").await, "rollout restart").await;
    template_has(&house, Child::App, "restartedAt").await;
    old.abort();
    let _ = old.await;
    let refused = replica_at(address, StatusCode::SERVICE_UNAVAILABLE, "access denied\n").await;
    reconcile(&house, 1).await;
    let denied = async || {
        let message = reported(&house, "DatabaseUnusable").await;
        message.contains("access denied").then_some(message)
    };
    follow(&house.eventually("another cause is reported", denied).await, "logs").await;
    refused.abort();
    let _ = refused.await;
    replica_at(address, StatusCode::OK, "ready\nschema version 3\n").await;
    workload_becomes(&house, Child::App, 1, 1).await;
    is_over(&house, "DatabaseUnusable").await;
    house.condition("blog", "Ready", "True", "Ready").await;
}

#[tokio::test]
async fn unreachable_database_is_corrected_by_its_commands() {
    let house = with_external_database("advice-unreachable").await;
    try_pod(&house, Child::App, "blog-1").await.unwrap();
    workload_becomes(&house, Child::App, 1, 0).await;
    let message = house.condition("blog", "DatabaseReady", "False", "DatabaseUnreachable").await;
    follow(&message, "logs").await;
    edit(&message, "wrong.example", "right.example").await;
    template_has(&house, Child::App, "right.example").await;
    delete_pod(&house, "blog-1").await;
    workload_becomes(&house, Child::App, 1, 1).await;
    is_over(&house, "DatabaseUnreachable").await;
}

/// The command shows the policies, and the test opens the port.
///
/// A bare API server enforces no policy.
#[tokio::test]
async fn unreachable_replica_is_explained_by_its_command() {
    let house = with_external_database("advice-silent").await;
    let address = [127, 82, 0, 2].into();
    ready_replica(&house, address).await;
    let message = house.condition("blog", "DatabaseReady", "Unknown", "ReplicaUnreachable").await;
    assert!(follow(&message, "describe networkpolicies").await.contains("9090"), "{message}");
    replica_at(address, StatusCode::OK, "ready\nschema version 3\n").await;
    reconcile(&house, 1).await;
    is_over(&house, "ReplicaUnreachable").await;
}

#[tokio::test]
async fn log_of_the_failing_sync_is_found_by_its_command() {
    let house = with_mysql("advice-credential-sync", json!({})).await;
    let containers = |ready: bool| json!({"containerStatuses": [running("mysql", true), running("credential-sync", ready)]});
    failing_pod(&house, Child::Database, "blog-mysql-0", containers(false)).await;
    follow(&reported(&house, "CredentialsNotSynced").await, "logs").await;
    pod_becomes(&house, "blog-mysql-0", containers(true)).await;
    house.settled("blog", 2).await;
    is_over(&house, "CredentialsNotSynced").await;
}

#[tokio::test]
async fn unreadable_session_keys_are_replaced_by_their_command() {
    let house = with_mysql("advice-session", json!({"replicas": 1})).await;
    let address = [127, 82, 0, 3].into();
    let warning = "ready\nschema version 3\nwarning: the session key has 7 bytes\n";
    let warned = replica_at(address, StatusCode::OK, warning).await;
    ready_replica(&house, address).await;
    let before = house.child("blog", Child::SessionSecret).await.metadata.uid;
    let message = reported(&house, "SessionKeysUnreadable").await;
    follow(&message, "delete secret").await;
    let replaced = async || {
        let secret = house.child_now("blog", Child::SessionSecret).await?;
        (secret.metadata.uid != before).then_some(())
    };
    house.eventually("new keys are there", replaced).await;
    follow(&message, r#""hibernate":true"#).await;
    delete_pod(&house, "blog-1").await;
    for role in [Child::App, Child::Database] {
        house.eventually("it is scaled to zero", async || has_replicas(&house, role, 0).await).await;
        workload_becomes(&house, role, 0, 0).await;
    }
    follow(&message, "wait fb/blog").await;
    warned.abort();
    let _ = warned.await;
    replica_at(address, StatusCode::OK, "ready\nschema version 3\n").await;
    follow(&message, r#""hibernate":false"#).await;
    for role in [Child::Database, Child::App] {
        house.eventually("it is scaled to one", async || has_replicas(&house, role, 1).await).await;
        workload_becomes(&house, role, 1, 1).await;
    }
    ready_replica(&house, address).await;
    is_over(&house, "SessionKeysUnreadable").await;
}

async fn has_replicas(house: &House, role: Child, wanted: i64) -> Option<()> {
    (house.child("blog", role).await.data["spec"]["replicas"] == wanted).then_some(())
}
