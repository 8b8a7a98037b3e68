//! Blogs continue while the operator is uninstalled, upgraded or absent.

use e2e::{eventually, helm, kubectl, kubectl_json, shell};

use crate::{
    test_blog::TestBlog,
    user::{User, Visitors},
};

const SYSTEM: &str = "flaskblog-system";

/// Runs the operator again when it goes, as the release has it.
struct Without;

impl Without {
    fn operator() -> Self {
        let without = Self;
        let _ = kubectl(&["scale", "deployment/operator", "-n", SYSTEM, "--replicas=0"]);
        eventually("the operator has ended", SYSTEM, || {
            let list = kubectl_json(&["get", "pods", "-n", SYSTEM])?;
            list["items"].as_array()?.is_empty().then_some(())
        });
        without
    }
}

impl Drop for Without {
    fn drop(&mut self) {
        let _ = shell(&format!(
            "kubectl --context kind-flaskblog scale deployment/operator -n {SYSTEM} --replicas=1"
        ));
    }
}

/// Installs the release as `make up` does, with further arguments.
fn install(arguments: &[&str]) {
    let chart = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/operator");
    let release = ["upgrade", "--install", "operator", chart, "-n", SYSTEM, "--wait", "--timeout", "3m"];
    let _ = helm("helm", &[&release, arguments].concat());
}

#[tokio::test]
async fn a_blog_can_be_deleted_while_the_operator_is_away() {
    let blog = TestBlog::acquire_alone();
    let author = User::registered(&blog.url).await;
    let title = format!("Left behind by {}", author.name);
    author.write(&title).await;
    let without = Without::operator();
    let _ = blog.kubectl(&["delete", "fb", "blog", "--timeout=60s"]);
    blog.eventually("its children are collected", || {
        let children = "deployment,statefulset,service,poddisruptionbudget,networkpolicy,serviceaccount,pod";
        let selector = "app.kubernetes.io/instance=blog";
        let left = blog.kubectl(&["get", children, "-l", selector, "-o", "name"]);
        left.trim().is_empty().then_some(())
    });
    for (kind, name) in [("pvc", "data-blog-mysql-0"), ("secret", "blog-mysql")] {
        assert!(blog.object(kind, name).is_some(), "{kind} {name} is gone");
    }
    drop(without);
    blog.comes_back_as_it_was(&author, &title).await;
}

#[tokio::test]
async fn operator_uninstalled_and_upgraded_restarts_no_blog() {
    let blog = TestBlog::acquire_alone();
    let state = || {
        let live = blog.read();
        (blog.incarnations(), live["status"]["nodePort"].clone(), live["metadata"]["uid"].clone())
    };
    let before = state();
    let readers = Visitors::readers(2, &blog.url);
    let _ = helm("helm", &["uninstall", "operator", "-n", SYSTEM, "--wait", "--timeout", "3m"]);
    assert!(kubectl(&["get", "crd", "flaskblogs.flaskblog.dev", "-o", "name"]).contains("flaskblogs"));
    for _ in 0..2 {
        assert_eq!(blog.read()["metadata"]["uid"], before.2);
        assert!(User::at(&blog.url).index().await.contains("Flaskr"));
        tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    }
    assert_eq!(blog.incarnations(), before.0);
    // Another pod of the operator each time.
    for arguments in [&[][..], &["--set", "podAnnotations.tried=upgrade"], &[]] {
        install(arguments);
        let _ = blog.kubectl(&["annotate", "fb", "blog", "example.org/look=again", "--overwrite"]);
        tokio::time::sleep(std::time::Duration::from_secs(5)).await;
        blog.wait_ready();
        assert_eq!(state(), before, "after {arguments:?}");
    }
    let _ = blog.kubectl(&["annotate", "fb", "blog", "example.org/look-"]);
    assert_eq!(blog.pods("app").len(), 2);
    assert!(readers.noticed_nothing() > 100);
}
