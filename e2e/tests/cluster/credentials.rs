//! New passwords and session keys while everybody goes on.

use std::process::Output;

use e2e::{eventually, is_ready, kubectl, wait_ready};
use serde_json::{Value, json};

use crate::{
    person::{Person, Visitors},
    sample::{Sample, incarnations, mysql, mysql_as_root, mysql_as_the_blog, object, pods},
};

/// A key of a Secret as the API server has it: encoded.
fn encoded(secret: &str, key: &str) -> Option<String> {
    object("secret", secret)?["data"][key].as_str().map(str::to_owned)
}

fn password() -> String {
    decoded("password")
}

/// A key of the database's Secret, as it is.
fn decoded(key: &str) -> String {
    let template = format!("--output=go-template={{{{index .data \"{key}\" | base64decode}}}}");
    kubectl(&["get", "secret", "blog-mysql", "-n", "default", &template])
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
        is_denied(&answer).then_some(())
    });
    let answer = mysql_as_the_blog(&new);
    assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
    wait_ready("default", "blog");
    for visits in visitors.map(Visitors::noticed_nothing) {
        assert!(visits > 50, "only {visits} visits");
    }
    sample.restored();
}

fn is_denied(answer: &Output) -> bool {
    !answer.status.success() && String::from_utf8_lossy(&answer.stderr).contains("Access denied")
}

/// The next rotation of root begins three minutes after the last one.
fn date_back_the_last_rotation_of_root() {
    let past = "flaskblog.dev/root-rotated-at=2020-01-01T00:00:00Z";
    let _ = kubectl(&["annotate", "secret", "blog-mysql", "-n", "default", "--overwrite", past]);
}

/// A kubelet brings the changed Secret to MySQL's pod within about a minute; the keeper there does the rest.
fn root_has(new: &str, old: &str) {
    eventually("root has its new password and not the old one", "default", || {
        (mysql_as_root(new).status.success() && is_denied(&mysql_as_root(old))).then_some(())
    });
}

#[tokio::test]
async fn root_gets_new_passwords_by_word_and_by_hand_and_nothing_is_restarted() {
    let sample = Sample::ready();
    let before = incarnations();
    let visitors = [Visitors::readers(3), Visitors::writer(Person::registered().await)];
    let first = decoded("root-password");
    date_back_the_last_rotation_of_root();
    ask_for(&[&format!("flaskblog.dev/rotate-root-password={}", e2e::browser::unique("e2e"))]);
    let second = eventually("the Secret has a new password", "default", || {
        Some(decoded("root-password")).filter(|now| *now != first)
    });
    root_has(&second, &first);
    // Edited by a person who has read nothing, and is fond of quotes.
    let by_hand = "it's 'quoted' \\ here";
    let patch = json!({"stringData": {"root-password": by_hand}}).to_string();
    let _ = kubectl(&["patch", "secret", "blog-mysql", "-n", "default", "--type=merge", "-p", &patch]);
    root_has(by_hand, &second);
    date_back_the_last_rotation_of_root();
    // A keeper that was away meanwhile knows the one before from the Secret.
    ask_for(&[&format!("flaskblog.dev/rotate-root-password={}", e2e::browser::unique("e2e"))]);
    let third = eventually("the Secret has a new password", "default", || {
        Some(decoded("root-password")).filter(|now| now != by_hand)
    });
    root_has(&third, by_hand);
    let account = mysql(
        "SELECT COUNT(*) FROM mysql.global_grants WHERE PRIV = 'APPLICATION_PASSWORD_ADMIN' AND USER = 'flaskr';",
    );
    assert_eq!(account, "1", "the account may not have two passwords");
    let log = kubectl(&["logs", "blog-mysql-0", "-c", "keeper", "-n", "default"]);
    for password in [&first, &second, &third] {
        assert!(!log.contains(password.as_str()), "the keeper's log has a password");
    }
    assert!(log.matches("root has its new password").count() >= 3, "{log}");
    assert_eq!(incarnations(), before, "something was restarted");
    for visits in visitors.map(Visitors::noticed_nothing) {
        assert!(visits > 50, "only {visits} visits");
    }
    sample.restored();
}

/// The rotation is interrupted in every place that a lost pod can interrupt it: the next keeper finishes it.
#[tokio::test]
async fn a_rotation_of_root_that_loses_its_pod_is_finished_by_the_next_one() {
    let sample = Sample::ready();
    let first = decoded("root-password");
    date_back_the_last_rotation_of_root();
    ask_for(&[&format!("flaskblog.dev/rotate-root-password={}", e2e::browser::unique("e2e"))]);
    let second = eventually("the Secret has a new password", "default", || {
        Some(decoded("root-password")).filter(|now| *now != first)
    });
    let _ = kubectl(&["delete", "pod", "blog-mysql-0", "-n", "default", "--grace-period=0", "--force"]);
    eventually("MySQL is back", "default", || {
        pods("database").first().filter(|pod| is_ready(pod)).map(|_| ())
    });
    root_has(&second, &first);
    wait_ready("default", "blog");
    sample.restored();
}
