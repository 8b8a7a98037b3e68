//! What people do with a blog that has served for a while.

use std::{thread::sleep, time::Duration};

use e2e::{app_pods, condition, done, eventually, kubectl, shell, wait_ready};
use serde_json::{Value, json};

use crate::{
    person::{Person, Visitors},
    sample::{Sample, blog, name, object, patch_spec, pods, until_condition},
};

fn scale(replicas: usize) {
    let _ = kubectl(&["scale", "fb/blog", "-n", "default", &format!("--replicas={replicas}")]);
}

/// Waits until so many replicas serve and every other one has ended.
fn until_replicas(count: usize) {
    eventually(&format!("{count} replicas serve and no other pod is left"), "default", || {
        let status = &blog()["status"];
        let serving = status["readyReplicas"].as_u64().unwrap_or(0);
        (serving == count as u64 && pods("app").len() == count).then_some(())
    });
}

#[test]
fn kubectl_scale_takes_it_to_five_and_back_unnoticed_and_to_none_and_back() {
    let sample = Sample::ready();
    let readers = Visitors::readers(4);
    for replicas in [5, 2] {
        scale(replicas);
        until_replicas(replicas);
        wait_ready("default", "blog");
    }
    assert!(readers.noticed_nothing() > 100);
    scale(0);
    until_replicas(0);
    let (_, reason, message) = condition("default", "blog", "Ready").unwrap();
    assert_eq!(reason, "ScaledToZero", "{message}");
    scale(2);
    wait_ready("default", "blog");
    sample.restored();
}

/// A worker that takes pods again when this goes.
struct Drained(String);

impl Drop for Drained {
    fn drop(&mut self) {
        let _ = shell(&format!("kubectl --context kind-flaskblog uncordon {}", self.0));
    }
}

pub fn nodes_of(pods: &[Value]) -> Vec<String> {
    pods.iter().map(|pod| pod["spec"]["nodeName"].as_str().unwrap_or_default().to_owned()).collect()
}

/// Deletes a replica where two are on one node; the scheduler puts the next one elsewhere.
pub fn spread() {
    wait_ready("default", "blog");
    eventually("the replicas are on two nodes", "default", || {
        let replicas = app_pods("default", "blog");
        let nodes = nodes_of(&replicas);
        if nodes.len() == 2 && nodes[0] == nodes[1] {
            let _ = kubectl(&["delete", "pod", &name(&replicas[0]), "-n", "default"]);
            wait_ready("default", "blog");
        }
        (nodes.len() == 2 && nodes[0] != nodes[1]).then_some(())
    });
}

#[test]
fn a_drained_worker_takes_a_replica_along_and_no_reader_notices() {
    spread();
    let database = nodes_of(&pods("database")).remove(0);
    let node = nodes_of(&app_pods("default", "blog")).into_iter().find(|node| *node != database).unwrap();
    let readers = Visitors::readers(4);
    sleep(Duration::from_secs(2));
    let drained = Drained(node.clone());
    let drain = ["drain", &node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=180s"];
    let _ = kubectl(&drain);
    eventually("both replicas serve elsewhere", "default", || {
        let nodes = nodes_of(&pods("app"));
        let all_serve = blog()["status"]["readyReplicas"] == 2;
        (all_serve && nodes.len() == 2 && !nodes.contains(&node)).then_some(())
    });
    drop(drained);
    spread();
    assert!(readers.noticed_nothing() > 100);
}

#[test]
fn a_blog_sleeps_and_wakes_with_its_posts_and_its_sessions() {
    let sample = Sample::ready();
    let author = on(Person::registered());
    let title = format!("Slept over by {}", author.name);
    on(author.write(&title));
    patch_spec(&json!({"hibernate": true}));
    eventually("the database ends", "default", || {
        (object("statefulset", "blog-mysql")?["spec"]["replicas"] == 0).then_some(())
    });
    assert_eq!(pods("app").len(), 0, "the database ended before the replicas");
    let _ = until_condition("Hibernated", "True", "Hibernated");
    assert_eq!(pods("database").len(), 0);
    for (kind, name) in [("pvc", "data-blog-mysql-0"), ("secret", "blog-mysql"), ("secret", "blog-session")] {
        assert!(object(kind, name).is_some(), "{kind} {name} is gone");
    }
    patch_spec(&json!({"hibernate": false}));
    wait_ready("default", "blog");
    let page = on(author.index());
    assert!(page.contains(&title), "the post is gone");
    assert!(page.contains("Log Out"), "the author was logged out");
    sample.restored();
}

/// Waits for what a person does.
pub fn on<T>(what: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(what)
}

#[test]
fn a_suspended_blog_is_left_alone_and_heals_afterwards() {
    let sample = Sample::ready();
    patch_spec(&json!({"suspend": true}));
    let _ = until_condition("Suspended", "True", "Suspended");
    let _ = kubectl(&["delete", "poddisruptionbudget", "blog", "-n", "default"]);
    patch_spec(&json!({"title": "Not yet"}));
    let left = eventually("both are listed", "default", || {
        let (_, _, message) = condition("default", "blog", "Suspended")?;
        (message.contains("PodDisruptionBudget blog: create") && message.contains("Deployment blog"))
            .then_some(message)
    });
    assert!(left.contains("rolling restart"), "{left}");
    // Long enough for several reconciles, had one been wanted.
    sleep(Duration::from_secs(12));
    assert!(object("poddisruptionbudget", "blog").is_none(), "a deleted child was made again");
    assert!(!on(Person::at(e2e::URL).index()).contains("Not yet"), "the title was changed");
    let row = kubectl(&["get", "fb", "blog", "-n", "default", "--no-headers"]);
    assert_eq!(row.split_whitespace().nth(2), Some("Suspended"), "{row}");
    patch_spec(&json!({"suspend": false}));
    wait_ready("default", "blog");
    assert!(object("poddisruptionbudget", "blog").is_some(), "the deleted child didn't come back");
    until_shown("Not yet");
    sample.restored();
}

/// The old replicas still drain for some seconds; the newest title is shown at the latest then.
fn until_shown(title: &str) {
    let reader = Person::at(e2e::URL);
    eventually(&format!("{title} is shown"), "default", || on(reader.index()).contains(title).then_some(()));
}

#[test]
fn under_manual_a_change_waits_until_the_command_that_is_shown_is_run() {
    let sample = Sample::ready();
    patch_spec(&json!({"rolloutPolicy": "Manual", "title": "Approved"}));
    let line = eventually("the change is pending", "default", || {
        let pending = blog()["status"]["pending"].as_array()?.clone();
        Some(pending.first()?.as_str()?.to_owned())
    });
    assert!(line.contains("Deployment blog"), "{line}");
    sleep(Duration::from_secs(12));
    assert!(!on(Person::at(e2e::URL).index()).contains("Approved"), "nobody has approved it");
    let (_, command) =
        line.split_once("approve with: kubectl ").unwrap_or_else(|| panic!("no command: {line}"));
    done(&format!("kubectl --context kind-flaskblog -n default {command}"));
    wait_ready("default", "blog");
    until_shown("Approved");
    assert_eq!(blog()["status"]["pending"], json!([]));
    sample.restored();
}
