//! Our image in the original's place: its manifests, its chart and its Compose file as they are, its tables, its users.

use std::{fs, sync::LazyLock};

use e2e::{PortForward, answers, done, eventually, free_port, helm, kubectl_fed, kubectl_json, shell};

use serde_json::json;

use crate::{schedule::Slot, user::User};

const MANIFESTS: &str = include_str!("original/application.yaml");
const COMPOSE: &str = include_str!("original/compose.yaml");
const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cluster/original/chart");
/// Our images, and the names by which the original pulls them.
const IMAGES: [(&str, &str); 2] = [
    (concat!("flaskblog/blog-app:", env!("CARGO_PKG_VERSION")), "library/blog:v1.0.0"),
    ("library/mysql:9.7", "library/mysql:8.0.32"),
];

/// The images on every node, as `kind load` would bring them. Only once, since a replaced name is gone for a moment.
static IMAGES_ON_NODES: LazyLock<()> = LazyLock::new(|| {
    for (ours, theirs) in IMAGES {
        done(&format!(
            "for node in $(kind get nodes --name flaskblog); do \
             docker exec $node ctr -n k8s.io images tag --force docker.io/{ours} docker.io/{theirs} || exit 1; done"
        ));
    }
});

/// A namespace for what the original deploys, removed again whatever happens.
struct Place {
    namespace: &'static str,
    _slot: Slot,
}

impl Place {
    fn acquire(namespace: &'static str) -> Self {
        let slot = Slot::acquire();
        LazyLock::force(&IMAGES_ON_NODES);
        Self { namespace, _slot: slot }
    }

    fn ready_replicas(&self) -> Option<i64> {
        kubectl_json(&["get", "deployment", "flask-app-deployment", "-n", self.namespace])?["status"]["readyReplicas"]
            .as_i64()
    }

    async fn its_users_go_on(self) {
        eventually("both replicas serve", self.namespace, || {
            (self.ready_replicas() == Some(2)).then_some(())
        });
        let forward = PortForward::start(self.namespace, "svc/flask-app-service");
        // The original starts both at once, and the blog answers 503 until its database does.
        eventually("the database is there", self.namespace, || answers(&forward.url).then_some(()));
        old_users_find_their_posts_and_write_new_ones(&forward.url).await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = shell(&format!(
            "kubectl --context kind-flaskblog delete namespace {} --wait=false",
            self.namespace
        ));
    }
}

async fn old_users_find_their_posts_and_write_new_ones(url: &str) {
    let mut old = User::at(url);
    old.name = "old".into();
    let hello = reqwest::get(format!("{url}/hello")).await.unwrap().text().await.unwrap();
    assert_eq!(hello, "Hello, World!");
    let answer = old.form("/auth/login", &[("username", "old"), ("password", "test")]).await;
    assert!(answer.status().is_redirection(), "{answer:?}");
    old.write("Written by the new image").await;
    let index = old.index().await;
    for expected in ["Written in 2023", "Written by the new image", "Flaskr - version v1.0.0", "Log Out"] {
        assert!(index.contains(expected), "no {expected} in {index}");
    }
    let newcomer = User::registered(url).await;
    assert!(newcomer.index().await.contains("Written in 2023"));
}

/// The script that makes the original's tables, and lays a user and a post there.
fn init_script() -> String {
    let (_, rest) = MANIFESTS.split_once("  init.sql: |\n").unwrap();
    let (script, _) = rest.split_once("---\n").unwrap();
    script.lines().map(|line| format!("{}\n", line.trim_start())).collect()
}

#[tokio::test]
async fn original_manifests_with_our_image_keep_users_and_posts() {
    let place = Place::acquire("flask-blog-original");
    let applied = kubectl_fed(&["apply", "-f", "-"], MANIFESTS);
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
    place.its_users_go_on().await;
}

#[tokio::test]
async fn original_chart_with_our_image_keeps_users_and_posts() {
    let place = Place::acquire("flask-blog-chart");
    let script = init_script();
    let (_, rows) = script.split_at(script.find("INSERT INTO").unwrap());
    let values = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
    fs::write(values.path(), json!({"mysql": {"rows": rows}}).to_string()).unwrap();
    let install = ["install", CHART, "--generate-name", "--namespace", place.namespace, "--create-namespace"];
    let _ = helm(
        "helm",
        &[
            &install[..],
            &["--dependency-update", "--atomic", "--values", &values.path().display().to_string()],
        ]
        .concat(),
    );
    place.its_users_go_on().await;
}

/// The Compose file, its variables and its script in a folder of their own; containers and data go whatever happens.
struct Composed {
    folder: tempfile::TempDir,
    url: String,
    project: String,
}

impl Composed {
    fn prepared() -> Self {
        for (ours, theirs) in IMAGES {
            done(&format!("docker tag {ours} {theirs}"));
        }
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let variables = format!(
            "MYSQL_VERSION=8.0.32\nMYSQL_PORT=3306\nMYSQL_DB_NAME=flaskr\nMYSQL_ROOT_PASSWORD=root-password\n\
            MYSQL_FLASK_USER=flask\nMYSQL_FLASK_PASSWORD=flask-password\nMYSQL_HOSTNAME=mysql\nBLOG_PORT={port}\n\
            APP_VERSION=v1.0.0\nFLASK_APP_SECRET_KEY=192b9bdd22ab9ed4d12e236c78afcb9a393ec15f71bbf5dc987d54727823bcbf\n"
        );
        for (name, content) in [("compose.yaml", COMPOSE), (".env", &variables), ("init.sql", &init_script())]
        {
            fs::write(folder.path().join(name), content).unwrap();
        }
        let url = format!("http://localhost:{port}");
        Self { folder, url, project: e2e::browser::unique("e2e-original") }
    }

    fn compose(&self, words: &str) -> String {
        let folder = self.folder.path().display();
        format!("docker-compose --project-directory {folder} --project-name {} {words}", self.project)
    }

    fn health(&self) -> String {
        let ask = format!(
            "docker inspect --format '{{{{.State.Health.Status}}}}' $({})",
            self.compose("ps --quiet blog")
        );
        done(&ask).trim().to_owned()
    }
}

impl Drop for Composed {
    fn drop(&mut self) {
        let _ = shell(&self.compose("down --volumes --timeout 60"));
        for (_, theirs) in IMAGES {
            let _ = shell(&format!("docker rmi {theirs}"));
        }
    }
}

#[tokio::test]
async fn original_compose_file_with_our_image_keeps_health_and_users() {
    let _slot = Slot::acquire();
    let here = Composed::prepared();
    // It waits for the health check, which calls curl in a shell.
    done(&here.compose("up --no-build --detach --wait --wait-timeout 300"));
    assert_eq!(here.health(), "healthy");
    old_users_find_their_posts_and_write_new_ones(&here.url).await;
    done(&here.compose("kill --signal STOP blog"));
    eventually("Docker reports that the blog is unhealthy", "default", || {
        (here.health() == "unhealthy").then_some(())
    });
    done(&here.compose("kill --signal CONT blog"));
    eventually("Docker reports that the blog is healthy", "default", || {
        (here.health() == "healthy").then_some(())
    });
}
