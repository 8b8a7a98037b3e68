//! New passwords and session keys while users read and write.

use std::process::Output;

use e2e::is_ready;
use serde_json::{Value, json};

use crate::{
    test_blog::TestBlog,
    user::{User, Visitors},
};

/// A key of a Secret as the API server has it: encoded.
fn encoded(blog: &TestBlog, secret: &str, key: &str) -> Option<String> {
    blog.object("secret", secret)?["data"][key].as_str().map(str::to_owned)
}

fn password(blog: &TestBlog) -> String {
    decoded(blog, "password")
}

/// A key of the database's Secret, as it is.
fn decoded(blog: &TestBlog, key: &str) -> String {
    let template = format!("--output=go-template={{{{index .data \"{key}\" | base64decode}}}}");
    blog.kubectl(&["get", "secret", "blog-mysql", &template])
}

fn request(blog: &TestBlog, requests: &[&str]) {
    let _ = blog.kubectl(&[&["annotate", "fb", "blog", "--overwrite"], requests].concat());
}

fn under_way(blog: &TestBlog, secret: &str) -> bool {
    let annotations = blog.object("secret", secret).unwrap_or_default()["metadata"]["annotations"].clone();
    annotations["flaskblog.dev/rotation-in-progress"] != Value::Null
}

#[tokio::test]
async fn new_password_and_session_keys_fail_no_request() {
    let blog = TestBlog::acquire();
    let visitors = [
        Visitors::readers(3, &blog.url),
        Visitors::member(User::registered(&blog.url).await),
        Visitors::writer(User::registered(&blog.url).await),
    ];
    let (old, old_key) = (password(&blog), encoded(&blog, "blog-session", "current"));
    let word = e2e::browser::unique("e2e");
    request(
        &blog,
        &[
            &format!("flaskblog.dev/rotate-password={word}"),
            &format!("flaskblog.dev/rotate-session-keys={word}"),
        ],
    );
    blog.eventually("the old password is kept beside the new one", || {
        encoded(&blog, "blog-mysql", "previous-password")
    });
    let next_key = blog.eventually("the next session key is announced", || {
        encoded(&blog, "blog-session", "previous").filter(|_| under_way(&blog, "blog-session"))
    });
    blog.eventually("both rotations are finished", || {
        let kept = encoded(&blog, "blog-mysql", "previous-password");
        (kept.is_none() && !under_way(&blog, "blog-mysql") && !under_way(&blog, "blog-session")).then_some(())
    });
    assert_eq!(
        encoded(&blog, "blog-session", "current"),
        Some(next_key),
        "the announced key isn't the one that signs"
    );
    assert_eq!(encoded(&blog, "blog-session", "previous"), old_key, "sessions of the old key end");
    let new = password(&blog);
    assert_ne!(new, old);
    // A kubelet brings a changed Secret to its pods within about a minute; then the replicas discard the old one.
    blog.eventually("MySQL refuses the old password", || {
        let answer = blog.mysql_as_the_blog(&old);
        is_denied(&answer).then_some(())
    });
    let answer = blog.mysql_as_the_blog(&new);
    assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
    blog.wait_ready();
    for visits in visitors.map(Visitors::noticed_nothing) {
        assert!(visits > 50, "only {visits} visits");
    }
    blog.restored();
}

fn is_denied(answer: &Output) -> bool {
    !answer.status.success() && String::from_utf8_lossy(&answer.stderr).contains("Access denied")
}

/// The next rotation of root begins three minutes after the last one.
fn date_back_the_last_rotation_of_root(blog: &TestBlog) {
    let past = "flaskblog.dev/root-rotated-at=2020-01-01T00:00:00Z";
    let _ = blog.kubectl(&["annotate", "secret", "blog-mysql", "--overwrite", past]);
}

/// A kubelet brings the changed Secret to MySQL's pod within about a minute; the container `credential-sync` does the rest.
fn root_has(blog: &TestBlog, new: &str, old: &str) {
    blog.eventually("root has its new password and not the old one", || {
        (blog.mysql_as_root(new).status.success() && is_denied(&blog.mysql_as_root(old))).then_some(())
    });
}

/// The container beside MySQL. A pod of an earlier build keeps its name.
fn credential_sync(blog: &TestBlog) -> String {
    let names = blog.kubectl(&["get", "pod", "blog-mysql-0", "-o", "jsonpath={.spec.containers[*].name}"]);
    let found = names.split(' ').find(|name| *name != "mysql");
    found.expect("MySQL's pod has a second container").to_owned()
}

#[tokio::test]
async fn root_password_changes_by_request_and_by_hand_without_restart() {
    let blog = TestBlog::acquire();
    let before = blog.incarnations();
    let visitors = [Visitors::readers(3, &blog.url), Visitors::writer(User::registered(&blog.url).await)];
    let first = decoded(&blog, "root-password");
    date_back_the_last_rotation_of_root(&blog);
    request(&blog, &[&format!("flaskblog.dev/rotate-root-password={}", e2e::browser::unique("e2e"))]);
    let second = blog.eventually("the Secret has a new password", || {
        Some(decoded(&blog, "root-password")).filter(|now| *now != first)
    });
    root_has(&blog, &second, &first);
    // Edited by hand, with quotes.
    let by_hand = "it's 'quoted' \\ here";
    let patch = json!({"stringData": {"root-password": by_hand}}).to_string();
    let _ = blog.kubectl(&["patch", "secret", "blog-mysql", "--type=merge", "-p", &patch]);
    root_has(&blog, by_hand, &second);
    date_back_the_last_rotation_of_root(&blog);
    // A container that didn't run meanwhile reads the earlier one from the Secret.
    request(&blog, &[&format!("flaskblog.dev/rotate-root-password={}", e2e::browser::unique("e2e"))]);
    let third = blog.eventually("the Secret has a new password", || {
        Some(decoded(&blog, "root-password")).filter(|now| now != by_hand)
    });
    root_has(&blog, &third, by_hand);
    let account = blog.mysql(
        "SELECT COUNT(*) FROM mysql.global_grants WHERE PRIV = 'APPLICATION_PASSWORD_ADMIN' AND USER = 'flaskr';",
    );
    assert_eq!(account, "1", "the account may not have two passwords");
    let log = blog.kubectl(&["logs", "blog-mysql-0", "-c", &credential_sync(&blog)]);
    for password in [&first, &second, &third] {
        assert!(!log.contains(password.as_str()), "the log has a password");
    }
    assert!(log.matches("root has its new password").count() >= 3, "{log}");
    assert_eq!(blog.incarnations(), before, "something was restarted");
    for visits in visitors.map(Visitors::noticed_nothing) {
        assert!(visits > 50, "only {visits} visits");
    }
    blog.restored();
}

/// The rotation is interrupted in every place that a lost pod can interrupt it: the next container finishes it.
#[tokio::test]
async fn root_rotation_that_loses_its_pod_is_finished_by_the_next() {
    let blog = TestBlog::acquire();
    let first = decoded(&blog, "root-password");
    date_back_the_last_rotation_of_root(&blog);
    request(&blog, &[&format!("flaskblog.dev/rotate-root-password={}", e2e::browser::unique("e2e"))]);
    let second = blog.eventually("the Secret has a new password", || {
        Some(decoded(&blog, "root-password")).filter(|now| *now != first)
    });
    let _ = blog.kubectl(&["delete", "pod", "blog-mysql-0", "--grace-period=0", "--force"]);
    blog.eventually("MySQL is back", || {
        blog.pods("database").first().filter(|pod| is_ready(pod)).map(|_| ())
    });
    root_has(&blog, &second, &first);
    blog.wait_ready();
    blog.restored();
}
