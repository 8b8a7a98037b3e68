//! What goes wrong in a cluster, and how it ends.

use std::time::Duration;

use e2e::{condition, eventually, is_ready, kubectl, kubectl_apply, kubectl_json, restarts, wait_ready};
use reqwest::StatusCode;
use serde_json::json;

use crate::{
    quickstart::Namespace,
    schedule::Slot,
    test_blog::{TestBlog, name},
    user::{User, Visitors},
};

#[tokio::test]
async fn an_app_pod_is_killed_and_no_reader_notices() {
    let blog = TestBlog::acquire();
    let readers = Visitors::readers(4, &blog.url);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let victim = name(&blog.app_pods()[0]);
    let _ = blog.kubectl(&["delete", "pod", &victim]);
    blog.wait_ready();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(readers.noticed_nothing() > 100);
}

#[tokio::test]
async fn a_change_of_title_rolls_out_and_no_reader_notices() {
    let blog = TestBlog::acquire();
    let readers = Visitors::readers(4, &blog.url);
    for title in ["Renamed", "Flaskr"] {
        blog.patch_spec(&json!({"title": title}));
        blog.wait_ready();
        // The old replicas still drain for some seconds; the newest title is shown at the latest then.
        let reader = User::at(&blog.url);
        let mut shown = false;
        for _ in 0..30 {
            shown = reader.index().await.contains(title);
            if shown {
                break;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        assert!(shown, "{title} is not shown within 15 s");
    }
    assert!(readers.noticed_nothing() > 100);
}

#[tokio::test]
async fn mysql_is_killed_posts_stay_and_the_app_comes_back_by_itself() {
    let blog = TestBlog::acquire();
    let author = User::registered(&blog.url).await;
    let title = format!("Kept by {}", author.name);
    author.write(&title).await;
    let restarts = || -> Vec<(String, String)> {
        blog.app_pods().iter().map(|pod| (name(pod), restarts(pod))).collect()
    };
    let before = restarts();
    let _ = blog.kubectl(&["delete", "pod", "blog-mysql-0", "--grace-period=0", "--force"]);
    let mut polite = None;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while polite.is_none() && tokio::time::Instant::now() < deadline {
        if let Some((StatusCode::SERVICE_UNAVAILABLE, retry)) = author.get_index().await {
            polite = Some(retry);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let retry = polite
        .expect("while MySQL was away no request got a 503 within 60 s")
        .expect("the 503 has no Retry-After");
    assert!(retry.parse::<u32>().is_ok(), "Retry-After: {retry}");
    blog.eventually("MySQL is back", || {
        let pod = blog.object("pod", "blog-mysql-0")?;
        is_ready(&pod).then_some(())
    });
    blog.wait_ready();
    assert!(author.index().await.contains(&title), "an acknowledged post is gone");
    assert_eq!(restarts(), before, "the app was restarted for a fault of the database");
}

#[tokio::test]
async fn a_deleted_and_reapplied_blog_has_its_posts_and_its_sessions() {
    let blog = TestBlog::acquire();
    let author = User::registered(&blog.url).await;
    let title = format!("Survives {}", author.name);
    author.write(&title).await;
    let _ = blog.kubectl(&["delete", "fb", "blog"]);
    blog.eventually("the pods are gone", || {
        let selector = "app.kubernetes.io/instance=blog";
        let pods = kubectl_json(&["get", "pods", "-n", &blog.namespace, "-l", selector])?;
        pods["items"].as_array()?.is_empty().then_some(())
    });
    blog.comes_back_as_it_was(&author, &title).await;
}

#[tokio::test]
async fn wrong_image_is_reported_while_the_blog_serves() {
    let blog = TestBlog::acquire();
    let readers = Visitors::readers(2, &blog.url);
    blog.patch_spec(&json!({"image": "flaskblog/blog-app:no-such-version"}));
    let message = blog.eventually("Degraded names the cause", || {
        let (status, reason, message) = blog.condition("Degraded")?;
        (status == "True" && reason == "PodFailing").then_some(message)
    });
    assert!(message.contains("no-such-version") || message.contains("ImagePull"), "{message}");
    assert_eq!(blog.condition("Ready").unwrap().0, "False");
    blog.patch_spec(&json!({"image": null}));
    blog.wait_ready();
    assert!(readers.noticed_nothing() > 100);
}

#[tokio::test]
async fn wrong_mysql_image_then_the_right_one_ends_ready() {
    let blog = TestBlog::acquire();
    let author = User::registered(&blog.url).await;
    let title = format!("Outlives the mistake of {}", author.name);
    author.write(&title).await;
    blog.patch_spec(&json!({"database": {"managed": {"image": "mysql:9.7.99"}}}));
    blog.eventually("the failing pod is reported", || {
        let (status, reason, message) = blog.condition("Degraded")?;
        (status == "True" && reason == "PodFailing" && message.contains("blog-mysql-0")).then_some(())
    });
    blog.patch_spec(&json!({"database": {"managed": {"image": "mysql:9.7"}}}));
    blog.wait_ready();
    assert!(author.index().await.contains(&title));
}

/// Its first start is interrupted again and again: what that leaves in the volume must not be taken for a database.
#[test]
fn mysql_out_of_memory_at_its_first_start_recovers_with_more() {
    let _slot = Slot::acquire();
    let namespace = "starved";
    let guard = Namespace::new(namespace);
    let manifest = |memory: &str| {
        format!(
            "{{apiVersion: flaskblog.dev/v1alpha1, kind: FlaskBlog, metadata: {{name: thin}}, spec: {{replicas: 1, \
             database: {{managed: {{resources: {{limits: {{memory: {memory}}}}}}}}}}}}}"
        )
    };
    assert!(kubectl_apply(namespace, &manifest("100Mi")).0);
    let message = eventually("MySQL fails", namespace, || {
        let (status, reason, message) = condition(namespace, "thin", "Degraded")?;
        (status == "True" && reason == "PodFailing" && message.contains("thin-mysql-0")).then_some(message)
    });
    assert!(message.contains("container mysql"), "{message}");
    assert!(kubectl_apply(namespace, &manifest("1Gi")).0);
    wait_ready(namespace, "thin");
    let log = kubectl(&["logs", "thin-mysql-0", "-c", "prepare", "-n", namespace]);
    assert!(
        log.contains("starting it over"),
        "the first start was not interrupted, so this test proves nothing: {log}"
    );
    drop(guard);
}

#[test]
fn policy_delete_keeps_data_until_the_blog_is_deleted() {
    let _slot = Slot::acquire();
    let namespace = "short-lived";
    let guard = Namespace::new(namespace);
    let manifest = "{apiVersion: flaskblog.dev/v1alpha1, kind: FlaskBlog, metadata: {name: brief}, \
                    spec: {replicas: 1, deletionPolicy: Delete}}";
    assert!(kubectl_apply(namespace, manifest).0);
    wait_ready(namespace, "brief");
    let claim = || kubectl_json(&["get", "pvc", "data-brief-mysql-0", "-n", namespace]);
    let before = eventually("the claim belongs to the blog", namespace, || {
        claim().filter(|claim| claim["metadata"]["ownerReferences"][0]["kind"] == "FlaskBlog")
    });
    let _ = kubectl(&["delete", "statefulset", "brief-mysql", "-n", namespace]);
    eventually("MySQL is back", namespace, || {
        let pod = kubectl_json(&["get", "pod", "brief-mysql-0", "-n", namespace])?;
        is_ready(&pod).then_some(())
    });
    wait_ready(namespace, "brief");
    let after = claim().expect("the claim is there");
    assert_eq!(after["metadata"]["uid"], before["metadata"]["uid"]);
    assert!(after["metadata"]["deletionTimestamp"].is_null());
    let _ = kubectl(&["delete", "fb", "brief", "-n", namespace]);
    eventually("nothing is left", namespace, || {
        let kinds = "fb,pvc,secret,deployment,statefulset,service,serviceaccount,poddisruptionbudget,pod";
        let selector = "app.kubernetes.io/instance=brief";
        let left = kubectl(&["get", kinds, "-n", namespace, "-l", selector, "-o", "name"]);
        left.trim().is_empty().then_some(())
    });
    drop(guard);
}
