//! Runs the commands of the conditions' messages with a real kubectl.

use std::process::Command;

use flaskblog_api::{Child, OwnedKind};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use crate::{commands::commands, house::House};

/// The exit code of `timeout` after it ended a command.
const TIMED_OUT: i32 = 124;

/// Runs one command in a shell, and returns its output. `editor` changes the file that kubectl opens.
async fn run(command: String, editor: &str) -> String {
    let path = format!("{}:{}", std::env::var("KUBE_BIN_DIR").unwrap(), std::env::var("PATH").unwrap());
    let cache = std::env::temp_dir().join(format!("kubectl-{}", std::process::id()));
    let is_endless = command.ends_with("--watch");
    let mut shell = Command::new("timeout");
    shell
        .args([if is_endless { "5" } else { "60" }, "bash", "-c", &command])
        .env("PATH", path)
        .env("KUBECONFIG", std::env::var("API_TEST_KUBECONFIG").unwrap())
        .env("KUBE_EDITOR", editor)
        .env("KUBECACHEDIR", cache);
    let output = tokio::task::spawn_blocking(move || shell.output()).await.unwrap().unwrap();
    let has_ended = output.status.success() || (is_endless && output.status.code() == Some(TIMED_OUT));
    assert!(has_ended, "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The commands of a message that contain these words.
fn chosen(message: &str, words: &str) -> Vec<String> {
    let chosen: Vec<String> = commands(message).into_iter().filter(|one| one.contains(words)).collect();
    assert!(!chosen.is_empty(), "no command with {words:?} in: {message}");
    chosen
}

/// Runs a message's commands with these words. Returns their output.
pub async fn follow(message: &str, words: &str) -> String {
    let mut printed = String::new();
    for command in chosen(message, words) {
        printed += &run(command, "false").await;
    }
    printed
}

/// Runs a message's `kubectl edit`, and replaces that text in the file.
pub async fn edit(message: &str, from: &str, to: &str) {
    for command in chosen(message, "edit fb") {
        assert_ne!(run(command, &format!("sed -i s|{from}|{to}|")).await, "", "nothing was edited");
    }
}

pub async fn reported(house: &House, reason: &str) -> String {
    house.condition("blog", "Degraded", "True", reason).await
}

/// Waits until no condition has that reason.
pub async fn is_over(house: &House, reason: &str) {
    house
        .eventually(&format!("{reason} is over"), || async {
            let conditions = house.blogs().get("blog").await.unwrap().status.unwrap().conditions;
            conditions.iter().all(|one| one.reason != reason).then_some(())
        })
        .await;
}

pub async fn create<K>(house: &House, object: Value)
where
    K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::Serialize
        + serde::de::DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(house.admin.clone(), &house.namespace);
    api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
}

/// Causes conflicting changes until the operator reports the contest.
pub async fn contest(house: &House, disturb: impl AsyncFn()) {
    house
        .eventually("the contest is named", || async {
            disturb().await;
            let conditions = house.blogs().get("blog").await.unwrap().status?.conditions;
            conditions.iter().any(|one| one.reason == "Contested").then_some(())
        })
        .await;
}

/// Changes a child, unless that conflicts with a write of the operator.
pub async fn change(house: &House, role: Child, change: &Value) {
    let _ = house.objects(role.kind()).patch("blog", &PatchParams::default(), &Patch::Merge(change)).await;
}

fn pods(house: &House) -> Api<Pod> {
    Api::namespaced(house.admin.clone(), &house.namespace)
}

/// Creates a pod as the child's controller does. Returns a refusal.
pub async fn try_pod(house: &House, role: Child, name: &str) -> Result<(), String> {
    let template = house.child("blog", role).await.data["spec"]["template"].clone();
    let mut pod = json!({"metadata": template["metadata"], "spec": template["spec"]});
    pod["metadata"]["name"] = name.into();
    pod["metadata"]["labels"]["controller-revision-hash"] = "r".into();
    if role == Child::Database {
        // A template of PVCs defines its volume.
        let claim = json!({"name": "data", "persistentVolumeClaim": {"claimName": "data-blog-mysql-0"}});
        pod["spec"]["volumes"].as_array_mut().unwrap().push(claim);
    }
    let created = pods(house).create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await;
    created.map(|_| ()).map_err(|error| match error {
        kube::Error::Api(status) => status.message,
        other => panic!("{other}"),
    })
}

/// Creates a pod with that status, and marks the child unready.
pub async fn failing_pod(house: &House, role: Child, name: &str, status: Value) {
    try_pod(house, role, name).await.unwrap();
    pod_becomes(house, name, status).await;
    workload_becomes(house, role, 1, 0).await;
}

pub async fn pod_becomes(house: &House, name: &str, status: Value) {
    let patch = json!({"status": status});
    pods(house).patch_status(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
}

pub async fn delete_pod(house: &House, name: &str) {
    pods(house).delete(name, &DeleteParams::default().grace_period(0)).await.unwrap();
}

/// Sets the numbers of pods and ready pods in a workload's status.
pub async fn workload_becomes(house: &House, role: Child, replicas: i32, ready: i32) {
    let generation = house.child("blog", role).await.metadata.generation;
    let mut status = json!({"observedGeneration": generation, "replicas": replicas, "updatedReplicas": replicas,
        "readyReplicas": ready, "availableReplicas": ready});
    if role.kind() == OwnedKind::StatefulSet {
        status["currentRevision"] = "r".into();
        status["updateRevision"] = "r".into();
    }
    house.patch_status(role, "blog", json!({"status": status})).await;
}

/// A container's status. `state` holds `state` and `lastState`.
pub fn container(name: &str, ready: bool, state: Value) -> Value {
    let mut container = json!({"name": name, "image": "i", "imageID": "", "ready": ready, "restartCount": 0});
    container.as_object_mut().unwrap().extend(state.as_object().unwrap().clone());
    container
}

/// A container that exits with this message again and again.
pub fn crashing(name: &str, message: &str) -> Value {
    let end = json!({"exitCode": 1, "message": message});
    container(
        name,
        false,
        json!({"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": end}}),
    )
}

/// A container that can't start.
pub fn waiting(name: &str, reason: &str, message: &str) -> Value {
    container(name, false, json!({"state": {"waiting": {"reason": reason, "message": message}}}))
}

pub fn running(name: &str, ready: bool) -> Value {
    container(name, ready, json!({"state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}))
}

/// Triggers reconciles of the blog, since no watch delivers a kubelet's report.
pub async fn reconcile(house: &House, count: usize) {
    let patch = json!({"metadata": {"annotations": {"example.com/count": count.to_string()}}});
    house.blogs().patch("blog", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
}
