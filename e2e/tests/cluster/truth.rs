//! The status names an outage and its cause, and the commands that it advises lead out.

use std::time::{Duration, Instant};

use e2e::{condition, done, eventually, kubectl, kubectl_apply, wait_ready};

use crate::{quickstart::Namespace, schedule::Slot, test_blog::TestBlog};

/// Waits until a condition has that status and reason; returns its message.
fn reported(namespace: &str, blog: &str, type_: &str, status: &str, reason: &str) -> String {
    eventually(&format!("{type_} is {status}, {reason}"), namespace, || {
        let (found, why, message) = condition(namespace, blog, type_)?;
        (found == status && why == reason).then_some(message)
    })
}

/// Runs the commands that a message advises, which stand between two of its phrases.
pub fn follow(message: &str, from: &str, to: &str) {
    let (_, rest) = message.split_once(from).unwrap_or_else(|| panic!("no {from:?} in: {message}"));
    let commands = rest.split_once(to).map_or(rest, |(commands, _)| commands);
    let commands = commands.trim_start_matches("1. ").replace(" 2. ", "; ");
    done(&format!("set -e; {}", commands.replace("kubectl ", "kubectl --context kind-flaskblog ")));
}

#[test]
fn mysql_that_takes_no_writes_ends_ready_within_thirty_seconds() {
    // Alone, as it measures seconds.
    let blog = TestBlog::acquire_alone();
    blog.mysql("SET GLOBAL read_only = ON");
    let began = Instant::now();
    let message = blog.until_condition("Ready", "False", "DatabaseUnusable");
    let took = began.elapsed();
    blog.mysql("SET GLOBAL read_only = OFF");
    assert!(message.contains("takes no writes"), "{message}");
    assert!(took < Duration::from_secs(30), "{took:?}");
    blog.wait_ready();
}

#[test]
fn deleted_claim_and_secret_return_by_the_advised_commands() {
    let _slot = Slot::acquire();
    let namespace = "kept-claim";
    let guard = Namespace::new(namespace);
    let manifest =
        "{apiVersion: flaskblog.dev/v1alpha1, kind: FlaskBlog, metadata: {name: kept}, spec: {replicas: 1}}";
    assert!(kubectl_apply(namespace, manifest).0);
    wait_ready(namespace, "kept");
    let sql = |statement: &str| {
        let script =
            format!("MYSQL_PWD=$(</etc/mysql-credentials/root-password) mysql -u root -N -e '{statement}'");
        kubectl(&["exec", "kept-mysql-0", "-n", namespace, "-c", "mysql", "--", "bash", "-c", &script])
    };
    let _ = sql("CREATE TABLE flaskr.marker (x INT); INSERT INTO flaskr.marker VALUES (7)");
    let _ = kubectl(&["delete", "pvc", "data-kept-mysql-0", "-n", namespace, "--wait=false"]);
    let message = reported(namespace, "kept", "Degraded", "True", "VolumeDeleting");
    follow(&message, "can be kept: ", "\0");
    let message = reported(namespace, "kept", "Degraded", "True", "VolumeLost");
    assert!(message.contains("its PersistentVolumeClaim is gone"), "{message}");
    follow(&message, "bind it again: ", ". To start with");
    wait_ready(namespace, "kept");
    let _ = kubectl(&["delete", "secret", "kept-mysql", "-n", namespace]);
    let message = reported(namespace, "kept", "Degraded", "True", "CredentialsMissing");
    follow(&message, "while that runs: ", "; or start");
    wait_ready(namespace, "kept");
    assert_eq!(sql("SELECT x FROM flaskr.marker").trim(), "7");
    drop(guard);
}
