//! Operations on a blog that has served for a while.

use std::{thread::sleep, time::Duration};

use e2e::{done, kubectl, shell};
use serde_json::{Value, json};

use crate::{
    test_blog::{TestBlog, name},
    user::{User, Visitors},
};

pub fn scale(blog: &TestBlog, replicas: usize) {
    let _ = blog.kubectl(&["scale", "fb/blog", &format!("--replicas={replicas}")]);
}

/// Waits until so many replicas serve and every other one has ended.
pub fn until_replicas(blog: &TestBlog, count: usize) {
    blog.eventually(&format!("{count} replicas serve and no other pod is left"), || {
        let status = &blog.read()["status"];
        let serving = status["readyReplicas"].as_u64().unwrap_or(0);
        (serving == count as u64 && blog.pods("app").len() == count).then_some(())
    });
}

#[test]
fn kubectl_scale_to_five_and_zero_and_back_fails_no_request() {
    let blog = TestBlog::acquire();
    let readers = Visitors::readers(4, &blog.url);
    for replicas in [5, 2] {
        scale(&blog, replicas);
        until_replicas(&blog, replicas);
        blog.wait_ready();
    }
    assert!(readers.noticed_nothing() > 100);
    scale(&blog, 0);
    until_replicas(&blog, 0);
    let (_, reason, message) = blog.condition("Ready").unwrap();
    assert_eq!(reason, "ScaledToZero", "{message}");
    scale(&blog, 2);
    blog.wait_ready();
    blog.restored();
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
pub fn spread(blog: &TestBlog) {
    blog.wait_ready();
    blog.eventually("the replicas are on two nodes", || {
        let replicas = blog.app_pods();
        let nodes = nodes_of(&replicas);
        if nodes.len() == 2 && nodes[0] == nodes[1] {
            let _ = blog.kubectl(&["delete", "pod", &name(&replicas[0])]);
            blog.wait_ready();
        }
        (nodes.len() == 2 && nodes[0] != nodes[1]).then_some(())
    });
}

#[test]
fn a_drained_worker_takes_a_replica_along_and_no_reader_notices() {
    let blog = TestBlog::acquire_alone();
    spread(&blog);
    let database = nodes_of(&blog.pods("database")).remove(0);
    let node = nodes_of(&blog.app_pods()).into_iter().find(|node| *node != database).unwrap();
    let readers = Visitors::readers(4, &blog.url);
    sleep(Duration::from_secs(2));
    let drained = Drained(node.clone());
    let drain = ["drain", &node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=180s"];
    let _ = kubectl(&drain);
    blog.eventually("both replicas serve elsewhere", || {
        let nodes = nodes_of(&blog.pods("app"));
        let all_serve = blog.read()["status"]["readyReplicas"] == 2;
        (all_serve && nodes.len() == 2 && !nodes.contains(&node)).then_some(())
    });
    drop(drained);
    spread(&blog);
    assert!(readers.noticed_nothing() > 100);
}

#[test]
fn a_blog_sleeps_and_wakes_with_its_posts_and_its_sessions() {
    let blog = TestBlog::acquire();
    let author = on(User::registered(&blog.url));
    let title = format!("Slept over by {}", author.name);
    on(author.write(&title));
    blog.patch_spec(&json!({"hibernate": true}));
    blog.eventually("the database ends", || {
        (blog.object("statefulset", "blog-mysql")?["spec"]["replicas"] == 0).then_some(())
    });
    assert_eq!(blog.pods("app").len(), 0, "the database ended before the replicas");
    let _ = blog.until_condition("Hibernated", "True", "Hibernated");
    assert_eq!(blog.pods("database").len(), 0);
    for (kind, name) in [("pvc", "data-blog-mysql-0"), ("secret", "blog-mysql"), ("secret", "blog-session")] {
        assert!(blog.object(kind, name).is_some(), "{kind} {name} is gone");
    }
    blog.patch_spec(&json!({"hibernate": false}));
    blog.wait_ready();
    let page = on(author.index());
    assert!(page.contains(&title), "the post is gone");
    assert!(page.contains("Log Out"), "the author was logged out");
    blog.restored();
}

/// Runs a future to its end.
pub fn on<T>(what: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(what)
}

#[test]
fn a_suspended_blog_is_left_alone_and_heals_afterwards() {
    let blog = TestBlog::acquire();
    blog.patch_spec(&json!({"suspend": true}));
    let _ = blog.until_condition("Suspended", "True", "Suspended");
    let _ = blog.kubectl(&["delete", "poddisruptionbudget", "blog"]);
    blog.patch_spec(&json!({"title": "Not yet"}));
    let left = blog.eventually("both are listed", || {
        let (_, _, message) = blog.condition("Suspended")?;
        (message.contains("PodDisruptionBudget blog: create") && message.contains("Deployment blog"))
            .then_some(message)
    });
    assert!(left.contains("rolling restart"), "{left}");
    // Long enough for several reconciles, had one been wanted.
    sleep(Duration::from_secs(12));
    assert!(blog.object("poddisruptionbudget", "blog").is_none(), "a deleted child was made again");
    assert!(!on(User::at(&blog.url).index()).contains("Not yet"), "the title was changed");
    let row = blog.kubectl(&["get", "fb", "blog", "--no-headers"]);
    assert_eq!(row.split_whitespace().nth(2), Some("Suspended"), "{row}");
    blog.patch_spec(&json!({"suspend": false}));
    blog.wait_ready();
    assert!(blog.object("poddisruptionbudget", "blog").is_some(), "the deleted child didn't come back");
    until_shown(&blog, "Not yet");
    blog.restored();
}

/// The old replicas still drain for some seconds; the newest title is shown at the latest then.
pub fn until_shown(blog: &TestBlog, title: &str) {
    let reader = User::at(&blog.url);
    blog.eventually(&format!("{title} is shown"), || on(reader.index()).contains(title).then_some(()));
}

#[test]
fn change_under_manual_waits_for_the_advised_command() {
    let blog = TestBlog::acquire();
    blog.patch_spec(&json!({"rolloutPolicy": "Manual", "title": "Approved"}));
    let line = blog.eventually("the change is pending", || {
        let pending = blog.read()["status"]["pending"].as_array()?.clone();
        Some(pending.first()?.as_str()?.to_owned())
    });
    assert!(line.contains("Deployment blog"), "{line}");
    sleep(Duration::from_secs(12));
    assert!(!on(User::at(&blog.url).index()).contains("Approved"), "it isn't approved yet");
    let (_, command) =
        line.split_once("approve with: kubectl ").unwrap_or_else(|| panic!("no command: {line}"));
    done(&format!("kubectl --context kind-flaskblog -n {} {command}", blog.namespace));
    blog.wait_ready();
    until_shown(&blog, "Approved");
    assert_eq!(blog.read()["status"]["pending"], json!([]));
    blog.restored();
}
