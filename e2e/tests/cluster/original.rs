//! Our image in the original's place: its manifests as they are, its tables, its users.

use e2e::{PortForward, eventually, kubectl, kubectl_fed, kubectl_json, shell};

use crate::person::Person;

const NAMESPACE: &str = "flask-blog-original";
const MANIFESTS: &str = include_str!("original/application.yaml");

/// Removed again whatever happens.
struct Original;

impl Original {
    /// Images under the names that the manifests ask for, on every node, as `kind load` would bring them.
    fn applied() -> Self {
        for (ours, theirs) in [
            (
                format!("docker.io/flaskblog/blog-app:{}", env!("CARGO_PKG_VERSION")),
                "docker.io/library/blog:v1.0.0",
            ),
            ("docker.io/library/mysql:9.7".to_owned(), "docker.io/library/mysql:8.0.32"),
        ] {
            let tag = format!(
                "for node in $(kind get nodes --name flaskblog); do \
                 docker exec $node ctr -n k8s.io images tag --force {ours} {theirs} || exit 1; done"
            );
            let result = shell(&tag);
            assert!(result.status.success(), "{}", String::from_utf8_lossy(&result.stderr));
        }
        let applied = kubectl_fed(&["apply", "-f", "-"], MANIFESTS);
        assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
        Self
    }
}

impl Drop for Original {
    fn drop(&mut self) {
        let _ = kubectl(&["delete", "namespace", NAMESPACE, "--wait=false"]);
    }
}

fn ready_replicas() -> Option<i64> {
    kubectl_json(&["get", "deployment", "flask-app-deployment", "-n", NAMESPACE])?["status"]["readyReplicas"]
        .as_i64()
}

#[tokio::test]
async fn in_the_originals_own_manifests_its_users_find_their_posts_and_write_new_ones() {
    let original = Original::applied();
    eventually("both replicas serve", NAMESPACE, || (ready_replicas() == Some(2)).then_some(()));
    let forward = PortForward::start(NAMESPACE, "svc/flask-app-service", 25012);
    let hello = reqwest::get(format!("{}/hello", forward.url)).await.unwrap().text().await.unwrap();
    assert_eq!(hello, "Hello, World!");
    // The original's manifests start both at once, and the blog says "come back" until its database is there.
    eventually("the database is there", NAMESPACE, || {
        let page = format!("curl --silent --fail --output /dev/null {}/", forward.url);
        shell(&page).status.success().then_some(())
    });
    let mut old = Person::at(&forward.url);
    old.name = "old".into();
    let answer = old.form("/auth/login", &[("username", "old"), ("password", "test")]).await;
    assert!(answer.status().is_redirection(), "{answer:?}");
    old.write("Written by the new image").await;
    let index = old.index().await;
    for expected in ["Written in 2023", "Written by the new image", "Flaskr - version v1.0.0", "Log Out"] {
        assert!(index.contains(expected), "no {expected} in {index}");
    }
    let newcomer = Person::registered_at(&forward.url).await;
    assert!(newcomer.index().await.contains("Written in 2023"));
    drop((forward, original));
}
