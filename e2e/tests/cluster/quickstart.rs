//! What holds after `make up`.

use e2e::{PortForward, helm, kubectl, kubectl_apply, kubectl_json, shell, wait_ready};

use crate::{
    day_two::{scale, until_replicas},
    schedule::{PORT_5000, Slot},
    test_blog::{TestBlog, name},
    user::User,
};

#[test]
fn the_sample_blog_is_ready_and_kubectl_get_shows_it() {
    let blog = TestBlog::acquire_default();
    let table = blog.kubectl(&["get", "fb"]);
    let (head, row) = table.split_once('\n').unwrap();
    let columns: Vec<&str> = head.split_whitespace().collect();
    assert_eq!(columns, ["NAME", "READY", "STATUS", "REPLICAS", "SCHEMA", "URL", "AGE"]);
    let cells: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(cells[..4], ["blog", "True", "Ready", "2"], "{table}");
    assert!(cells[4].parse::<u32>().is_ok_and(|version| version >= 1), "no schema version: {table}");
    assert_eq!(cells[5], blog.url, "{table}");
}

#[test]
fn every_condition_of_a_ready_blog_says_so() {
    let blog = TestBlog::acquire();
    for (type_, status) in [
        ("Ready", "True"),
        ("DatabaseReady", "True"),
        ("SchemaReady", "True"),
        ("AppAvailable", "True"),
        ("Degraded", "False"),
    ] {
        let (is, reason, message) = blog.condition(type_).unwrap();
        assert_eq!(is, status, "{type_}: {reason} {message}");
    }
}

#[test]
fn its_replicas_run_on_different_workers() {
    let blog = TestBlog::acquire();
    // Started together: a rollout of an earlier test may have left both on one node.
    for replicas in [0, 2] {
        scale(&blog, replicas);
        until_replicas(&blog, replicas);
    }
    let mut nodes: Vec<String> =
        blog.app_pods().iter().map(|pod| pod["spec"]["nodeName"].to_string()).collect();
    nodes.sort();
    nodes.dedup();
    assert_eq!(nodes.len(), 2, "{nodes:?}");
}

#[test]
fn kubectl_explain_explains_the_fields() {
    let _slot = Slot::acquire();
    let text = kubectl(&["explain", "fb.spec"]);
    for field in [
        "replicas",
        "image",
        "imagePullPolicy",
        "title",
        "service",
        "resources",
        "database",
        "deletionPolicy",
    ] {
        assert!(text.contains(field), "{field} is missing: {text}");
    }
    assert!(text.contains("Number of replicas of the blog"), "{text}");
}

#[test]
fn kubectl_describe_tells_the_story_in_events() {
    let _slot = Slot::acquire();
    let namespace = Namespace::new("story");
    assert!(kubectl_apply("story", "{apiVersion: flaskblog.dev/v1alpha1, kind: FlaskBlog, metadata: {name: tale}, spec: {replicas: 1}}").0);
    wait_ready("story", "tale");
    let text = kubectl(&["describe", "fb", "tale", "-n", "story"]);
    for words in
        ["Created ServiceAccount tale", "StatefulSet tale-mysql", "Deployment tale", "1 of 1 replicas serve"]
    {
        assert!(text.contains(words), "{words} is missing: {text}");
    }
    drop(namespace);
}

#[test]
fn a_wrong_value_is_refused_with_what_to_write() {
    let _slot = Slot::acquire();
    let manifest = "{apiVersion: flaskblog.dev/v1alpha1, kind: FlaskBlog, metadata: {name: wrong}, \
                    spec: {service: {type: ClusterIP, nodePort: 30500}}}";
    let (accepted, text) = kubectl_apply("default", manifest);
    assert!(!accepted);
    assert!(text.contains("set one of them or remove nodePort"), "{text}");
    let (accepted, text) = kubectl_apply("default", &manifest.replace("nodePort", "nodport"));
    assert!(!accepted && text.contains("unknown field"), "{text}");
}

#[test]
fn helm_test_finds_the_operator_ready() {
    let _slot = Slot::acquire();
    let text = helm("helm", &["test", "operator", "-n", "flaskblog-system"]);
    assert!(text.contains("Succeeded"), "{text}");
}

#[test]
fn every_pod_passes_pod_security_restricted() {
    let _blog = TestBlog::acquire_default();
    for namespace in ["default", "flaskblog-system"] {
        // A dry run of enforcing it lists every running pod that would be refused, as warnings.
        let label = "pod-security.kubernetes.io/enforce=restricted";
        let result = shell(&format!(
            "kubectl --context kind-flaskblog label --dry-run=server --overwrite namespace {namespace} {label}"
        ));
        let warnings = String::from_utf8_lossy(&result.stderr).into_owned();
        assert!(result.status.success() && !warnings.contains("violate"), "{namespace}: {warnings}");
    }
}

#[tokio::test]
async fn a_login_at_one_replica_is_good_at_every_other() {
    // At `localhost`, as the forwarded ports are: a browser sends a cookie to every port of its host.
    let blog = TestBlog::acquire_default();
    let author = User::registered(&blog.url).await;
    let pods = blog.app_pods();
    assert_eq!(pods.len(), 2);
    for pod in pods {
        let forward = PortForward::start(&blog.namespace, &format!("pod/{}", name(&pod)));
        let page = author.index_at(&forward.url).await;
        assert!(
            page.contains(&author.name) && page.contains("Log Out"),
            "not logged in at {}: {page}",
            forward.url
        );
    }
}

#[tokio::test]
async fn port_forward_reaches_the_blog_on_5000() {
    let blog = TestBlog::acquire_default_with(PORT_5000);
    let forward = PortForward::start_at(&blog.namespace, "svc/blog", 5000);
    let user = User::at(&forward.url);
    assert!(user.index().await.contains("Flaskr"));
    // Forms work there too: the origin is another one than at the node port.
    user.register().await;
}

#[test]
fn idle_operator_keeps_the_lease_and_writes_nothing() {
    let blog = TestBlog::acquire_default();
    // Replicas of an earlier test end some seconds after the blog is ready.
    blog.eventually("no pod is ending", || (blog.pods("app").len() == 2).then_some(()));
    let versions = || {
        let kinds = "fb,deployment,statefulset,service,serviceaccount,secret,poddisruptionbudget,pvc";
        let columns = "custom-columns=KIND:.kind,NAME:.metadata.name,VERSION:.metadata.resourceVersion";
        let selector = "app.kubernetes.io/instance=blog";
        let children = blog.kubectl(&["get", kinds, "-l", selector, "-o", columns]);
        children + &blog.kubectl(&["get", "fb", "blog", "-o", columns])
    };
    let before = versions();
    assert!(before.lines().count() >= 11, "{before}");
    std::thread::sleep(std::time::Duration::from_secs(60));
    assert_eq!(versions(), before);
    let lease = kubectl_json(&["get", "lease", "flaskblog-operator", "-n", "flaskblog-system"]).unwrap();
    assert!(lease["spec"]["holderIdentity"].as_str().unwrap().starts_with("operator-"), "{lease}");
}

/// A namespace that enforces `restricted` and goes with this value.
pub struct Namespace(String);

impl Namespace {
    pub fn new(name: &str) -> Self {
        let manifest = format!(
            "{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}, labels: {{pod-security.kubernetes.io/enforce: restricted}}}}}}"
        );
        // An interrupted run may have left it behind.
        let _ = kubectl(&["delete", "namespace", name, "--ignore-not-found", "--timeout=120s"]);
        assert!(kubectl_apply("default", &manifest).0);
        Self(name.to_owned())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = kubectl(&["delete", "namespace", &self.0, "--ignore-not-found", "--wait=false"]);
        }
    }
}
