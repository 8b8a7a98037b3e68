//! New passwords and session keys while everybody goes on.

use e2e::{eventually, kubectl, wait_ready};
use serde_json::Value;

use crate::{
    person::{Person, Visitors},
    sample::{Sample, mysql_as_the_blog, object},
};

/// A key of a Secret as the API server has it: encoded.
fn encoded(secret: &str, key: &str) -> Option<String> {
    object("secret", secret)?["data"][key].as_str().map(str::to_owned)
}

fn password() -> String {
    let template = "--output=go-template={{.data.password | base64decode}}";
    kubectl(&["get", "secret", "blog-mysql", "-n", "default", template])
}

fn ask_for(requests: &[&str]) {
    let _ = kubectl(&[&["annotate", "fb", "blog", "-n", "default", "--overwrite"], requests].concat());
}

fn under_way(secret: &str) -> bool {
    let annotations = object("secret", secret).unwrap_or_default()["metadata"]["annotations"].clone();
    annotations["flaskblog.dev/rotation-under-way"] != Value::Null
}

#[tokio::test]
async fn a_new_database_password_and_new_session_keys_come_without_a_failed_visit() {
    let sample = Sample::ready();
    let visitors = [
        Visitors::readers(3),
        Visitors::member(Person::registered().await),
        Visitors::writer(Person::registered().await),
    ];
    let (old, old_key) = (password(), encoded("blog-session", "current"));
    let word = e2e::browser::unique("e2e");
    ask_for(&[
        &format!("flaskblog.dev/rotate-password={word}"),
        &format!("flaskblog.dev/rotate-session-keys={word}"),
    ]);
    eventually("the old password is kept beside the new one", "default", || {
        encoded("blog-mysql", "previous-password")
    });
    let next_key = eventually("the next session key is announced", "default", || {
        encoded("blog-session", "previous").filter(|_| under_way("blog-session"))
    });
    eventually("both rotations are finished", "default", || {
        let kept = encoded("blog-mysql", "previous-password");
        (kept.is_none() && !under_way("blog-mysql") && !under_way("blog-session")).then_some(())
    });
    assert_eq!(
        encoded("blog-session", "current"),
        Some(next_key),
        "the announced key isn't the one that signs"
    );
    assert_eq!(encoded("blog-session", "previous"), old_key, "sessions of the old key end");
    let new = password();
    assert_ne!(new, old);
    // A kubelet brings a changed Secret to its pods within about a minute; then the replicas discard the old one.
    eventually("MySQL refuses the old password", "default", || {
        let answer = mysql_as_the_blog(&old);
        let denied = String::from_utf8_lossy(&answer.stderr).contains("Access denied");
        (!answer.status.success() && denied).then_some(())
    });
    let answer = mysql_as_the_blog(&new);
    assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
    wait_ready("default", "blog");
    for visits in visitors.map(Visitors::noticed_nothing) {
        assert!(visits > 50, "only {visits} visits");
    }
    sample.restored();
}
