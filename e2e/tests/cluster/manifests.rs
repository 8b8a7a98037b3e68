//! A blog without an operator, as docs/manifests.md describes it, and an operator that comes later.

use std::process::Output;

use e2e::{
    PortForward, app_pods, done, kubectl, kubectl_apply, kubectl_json, shell, shell_blocks, wait_ready,
};
use serde_json::Value;

use crate::{
    schedule::{MANIFESTS, Slot},
    user::User,
};

const NAMESPACE: &str = "flask-blog";

/// A copy of the files that the page speaks of, with a node port that the cluster assigns to no other blog, and the namespace that is
/// removed at the end whatever happens.
struct Place {
    directory: tempfile::TempDir,
    /// Released last: both tests use the names of the page.
    _slot: Slot,
}

impl Place {
    fn acquire() -> Self {
        let slot = Slot::acquire_with(MANIFESTS);
        let place = Self { directory: tempfile::tempdir().unwrap(), _slot: slot };
        let directory = place.directory.path().display();
        done(&format!(
            "chmod 755 {directory} && cp -r blog.yaml deploy {directory}/ && \
             sed -i s/30423/30026/ {directory}/blog.yaml {directory}/deploy/kustomize/base/blog.yaml"
        ));
        place
    }

    /// Runs a block of the page, with the operator of the image.
    fn run(&self, block: &str) -> Output {
        let image = concat!("flaskblog/operator:", env!("CARGO_PKG_VERSION"));
        let directory = self.directory.path().display();
        shell(&format!(
            "cd {directory}; set -euo pipefail\n\
             operator() {{ docker run --rm --volume {directory}:/work:ro --workdir /work {image} \"$@\"; }}\n\
             kubectl() {{ command kubectl --context {} \"$@\"; }}\n{block}",
            e2e::CONTEXT
        ))
    }

    fn done(&self, block: &str) -> String {
        let result = self.run(block);
        assert!(result.status.success(), "{block}: {}", String::from_utf8_lossy(&result.stderr));
        String::from_utf8_lossy(&result.stdout).into_owned()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = kubectl(&["delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=180s"]);
    }
}

const PAGE: &str = include_str!("../../../docs/manifests.md");

/// Waits until the blog serves, and leaves a post there.
async fn author_of(title: &str) -> (PortForward, User) {
    let _ = kubectl(&["rollout", "status", "deployment/blog", "-n", NAMESPACE, "--timeout=240s"]);
    let forward = PortForward::start(NAMESPACE, "svc/blog");
    let author = User::registered(&forward.url).await;
    author.write(title).await;
    (forward, author)
}

fn pods() -> Vec<String> {
    let uid = |pod: &serde_json::Value| pod["metadata"]["uid"].to_string();
    let mut uids: Vec<String> = app_pods(NAMESPACE, "blog").iter().map(uid).collect();
    uids.push(kubectl(&["get", "pod", "blog-mysql-0", "-n", NAMESPACE, "-o", "jsonpath={.metadata.uid}"]));
    uids.sort();
    uids
}

/// Passwords and keys: what the operator records of the volume beside them is no secret.
fn secrets() -> Vec<Value> {
    let list = kubectl_json(&["get", "secrets", "-n", NAMESPACE]).unwrap_or_default();
    let mut data: Vec<Value> =
        list["items"].as_array().into_iter().flatten().map(|secret| secret["data"].clone()).collect();
    for keys in data.iter_mut().filter_map(Value::as_object_mut) {
        keys.remove("data-volume");
    }
    data
}

#[tokio::test]
async fn rendered_blog_is_adopted_by_an_operator_without_a_restart() {
    let (place, blocks) = (Place::acquire(), shell_blocks(PAGE));
    let _ = place.done(blocks[0]);
    let (_forward, author) = author_of("Written without an operator").await;
    let (pods_before, secrets_before) = (pods(), secrets());
    let again = place.done(blocks[1]);
    assert!(again.lines().count() >= 8 && !again.contains("secret"), "{again}");
    let manifest = std::fs::read_to_string(place.directory.path().join("blog.yaml")).unwrap();
    let (applied, words) = kubectl_apply(NAMESPACE, &manifest);
    assert!(applied, "{words}");
    wait_ready(NAMESPACE, "blog");
    assert_eq!(pods(), pods_before, "something was restarted");
    assert_eq!(secrets(), secrets_before);
    assert!(author.index().await.contains("Written without an operator"));
}

#[tokio::test]
async fn kustomize_makes_a_blog_and_never_replaces_its_passwords() {
    let (place, blocks) = (Place::acquire(), shell_blocks(PAGE));
    let _ = place.done(blocks[2]);
    let (_forward, author) = author_of("Written by Kustomize").await;
    let before = secrets();
    let again = place.run(blocks[2]);
    assert!(String::from_utf8_lossy(&again.stderr).contains("AlreadyExists"), "passwords were made twice");
    assert_eq!(secrets(), before);
    assert!(author.index().await.contains("Written by Kustomize"));
}
