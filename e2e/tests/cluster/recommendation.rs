//! The recommendation for MySQL's resources, by the vertical autoscaler's real recommender and a real metrics server.
//!
//! The recommender runs beside the cluster, since it only reads metrics and writes recommendations.

use std::process::{Child, Command, Stdio};

use e2e::{kubectl, restarts, shell};
use serde_json::json;
use tempfile::NamedTempFile;

use crate::test_blog::TestBlog;

/// The definition of VerticalPodAutoscaler in the cluster, deleted when this goes.
pub struct Definition(String);

impl Definition {
    pub fn applied() -> Self {
        let directory =
            std::env::var("OPTIONAL_CRDS").expect("OPTIONAL_CRDS is set: run dev/test.sh cluster");
        let file = format!("{directory}/verticalpodautoscalers.yaml");
        let _ = kubectl(&["apply", "--server-side", "-f", &file]);
        Self(file)
    }
}

impl Drop for Definition {
    fn drop(&mut self) {
        let _ = shell(&format!("kubectl --context kind-flaskblog delete --wait=false -f {}", self.0));
    }
}

/// The recommender, and the definition of its kind, both of which go at the end.
struct Recommender {
    process: Child,
    _kubeconfig: NamedTempFile,
    _definition: Definition,
}

impl Recommender {
    fn started() -> Self {
        let definition = Definition::applied();
        let mut kubeconfig = NamedTempFile::new().unwrap();
        let view = ["config", "view", "--minify", "--flatten"];
        std::io::Write::write_all(&mut kubeconfig, kubectl(&view).as_bytes()).unwrap();
        // Ends by itself if the test is killed.
        let process = Command::new("timeout")
            .args([
                "300",
                "recommender",
                "--recommender-interval=5s",
                "--address=127.0.0.1:0",
                "--kubeconfig",
            ])
            .arg(kubeconfig.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the recommender starts: run dev/test.sh cluster");
        Self { process, _kubeconfig: kubeconfig, _definition: definition }
    }
}

impl Drop for Recommender {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.process.id().to_string()).status();
        let _ = self.process.wait();
    }
}

#[test]
fn real_recommender_sizes_mysql_and_restarts_nothing() {
    // Alone, as it adds a definition to the cluster and removes it.
    let mut blog = TestBlog::acquire_alone();
    let recommender = Recommender::started();
    let pod = || blog.object("pod", "blog-mysql-0").unwrap();
    let before = (pod()["metadata"]["uid"].clone(), restarts(&pod()));
    blog.patch_spec(&json!({"database": {"managed": {"recommendResources": true}}}));
    let message = blog
        .eventually("the recommendation is reported", || {
            blog.condition("ResourcesRecommended").filter(|(status, ..)| status == "True")
        })
        .2;
    assert!(
        message.starts_with("MySQL would do with ") && message.contains("Mi memory; it requests"),
        "{message}"
    );
    println!("{message}");
    let vpa = blog.object("verticalpodautoscaler", "blog-mysql").unwrap();
    let containers = vpa["status"]["recommendation"]["containerRecommendations"].as_array().unwrap();
    assert_eq!(containers.len(), 1, "only MySQL is looked at: {containers:?}");
    assert_eq!(before, (pod()["metadata"]["uid"].clone(), restarts(&pod())), "nothing was restarted");
    blog.put_back();
    blog.eventually("it goes with its field", || {
        blog.object("verticalpodautoscaler", "blog-mysql").is_none().then_some(())
    });
    drop(recommender);
}
