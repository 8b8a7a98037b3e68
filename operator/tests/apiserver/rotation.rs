//! New passwords and keys, step by step.

use std::time::Duration;

use flaskblog_api::Child;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api,
    api::{DynamicObject, Patch, PatchParams},
};
use serde_json::json;

use crate::house::House;

struct Kept {
    secrets: Api<Secret>,
    name: &'static str,
}

impl Kept {
    fn of(house: &House, name: &'static str) -> Self {
        Self { secrets: Api::namespaced(house.admin.clone(), &house.namespace), name }
    }

    async fn key(&self, key: &str) -> Option<String> {
        let data = self.secrets.get(self.name).await.unwrap().data.unwrap();
        data.get(key).map(|bytes| String::from_utf8(bytes.0.clone()).unwrap())
    }

    /// Waits until a key's value has changed, and returns the new one.
    async fn changed(&self, house: &House, key: &str, old: &str) -> String {
        let what = format!("{key} changes");
        house.eventually(&what, || async { self.key(key).await.filter(|now| now != old) }).await
    }
}

async fn ask(house: &House, annotation: &str, word: &str) {
    let patch = json!({"metadata": {"annotations": {annotation: word}}});
    house.blogs().patch("blog", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
}

async fn rolled(house: &House, annotation: &str, word: &str) {
    house
        .eventually("the pods are rolled", || async {
            let deployment = house.child("blog", Child::App).await;
            (deployment.data["spec"]["template"]["metadata"]["annotations"][annotation] == word).then_some(())
        })
        .await;
}

/// Another operator finishes an interrupted rotation.
#[tokio::test]
async fn a_new_password_stands_beside_the_old_one_until_every_replica_has_started_since() {
    let mut house = House::with_settled_blog("rotates").await;
    let secret = Kept::of(&house, "blog-mysql");
    let old = secret.key("password").await.unwrap();
    let root = secret.key("root-password").await;
    ask(&house, "flaskblog.dev/rotate-password", "may").await;
    rolled(&house, "flaskblog.dev/password-rotation", "may").await;
    let new = secret.key("password").await.unwrap();
    assert_ne!(new, old);
    assert_eq!((new.len(), secret.key("previous-password").await), (32, Some(old.clone())));
    house.stop_operator();
    house.start_operator().await;
    house.workloads_become_ready("blog", 2).await;
    house
        .eventually("the old password goes", || async {
            secret.key("previous-password").await.is_none().then_some(())
        })
        .await;
    assert_eq!((secret.key("password").await, secret.key("root-password").await), (Some(new.clone()), root));
    house.settled("blog", 2).await;
    // The same value again requests no rotation.
    ask(&house, "flaskblog.dev/other", "x").await;
    house.apply("blog", json!({"title": "Later"})).await.unwrap();
    house
        .eventually("the title has arrived", || async {
            house.child("blog", Child::App).await.data.to_string().contains("Later").then_some(())
        })
        .await;
    house.settled("blog", 2).await;
    assert_eq!(secret.key("password").await, Some(new));
    let events = house.events().await;
    assert!(events.iter().any(|note| note.contains("Rotating Secret blog-mysql")), "{events:?}");
    assert!(!events.iter().any(|note| note.contains(&old)));
}

#[tokio::test]
async fn a_session_key_is_accepted_by_all_before_it_signs() {
    let house = House::with_settled_blog("keys").await;
    let secret = Kept::of(&house, "blog-session");
    let old = secret.key("current").await;
    ask(&house, "flaskblog.dev/rotate-session-keys", "1").await;
    rolled(&house, "flaskblog.dev/session-key-rotation", "1").await;
    let next = secret.key("previous").await;
    assert_eq!(secret.key("current").await, old);
    assert_eq!(next.as_ref().unwrap().len(), 64);
    house.workloads_become_ready("blog", 2).await;
    house
        .eventually("the keys change places", || async {
            (secret.key("current").await == next && secret.key("previous").await == old).then_some(())
        })
        .await;
}

/// Only the credential-sync container in MySQL's pod reads it.
///
/// So no pod is rolled, and no step waits for replicas.
#[tokio::test]
async fn root_gets_a_new_password_beside_its_earlier_ones_and_no_pod_is_rolled() {
    let house = House::open("root").await;
    house.blog("blog", json!({})).await;
    let secret = Kept::of(&house, "blog-mysql");
    let (first, account) = (secret.key("root-password").await.unwrap(), secret.key("password").await);
    ask(&house, "flaskblog.dev/rotate-root-password", "1").await;
    house.condition("blog", "Ready", "False", "DatabaseStarting").await;
    assert_eq!(secret.key("previous-root-password").await, None, "there is no MySQL yet");
    house.settled("blog", 2).await;
    let second = secret.changed(&house, "root-password", &first).await;
    assert_eq!((second.len(), secret.key("previous-root-password").await), (32, Some(first.clone())));
    house.settled("blog", 2).await;
    let template = |deployment: DynamicObject| deployment.data["spec"]["template"].clone();
    let before = template(house.child("blog", Child::App).await);
    for word in ["2", "3", "4"] {
        let now = secret.key("root-password").await.unwrap();
        ask(&house, "flaskblog.dev/rotate-root-password", word).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(
            secret.key("root-password").await.unwrap(),
            now,
            "the one before may not have arrived yet"
        );
        let past =
            json!({"metadata": {"annotations": {"flaskblog.dev/root-rotated-at": "2020-01-01T00:00:00Z"}}});
        secret.secrets.patch("blog-mysql", &PatchParams::default(), &Patch::Merge(past)).await.unwrap();
        secret.changed(&house, "root-password", &now).await;
    }
    let earlier = secret.key("previous-root-password").await.unwrap();
    assert_eq!(earlier.lines().count(), 3);
    assert!(earlier.lines().any(|line| line == second) && !earlier.contains(&first), "the newest three");
    assert_eq!(secret.key("password").await, account);
    assert_eq!(template(house.child("blog", Child::App).await), before);
    let events = house.events().await;
    let told =
        "Rotating Secret blog-mysql (password of root: asked for by flaskblog.dev/rotate-root-password)";
    assert!(events.iter().any(|note| note == told), "{events:?}");
}

/// Both change in one write of the Secret.
#[tokio::test]
async fn the_account_and_root_asked_for_together_are_rotated_together() {
    let house = House::with_settled_blog("together").await;
    let secret = Kept::of(&house, "blog-mysql");
    let (account, root) = (secret.key("password").await, secret.key("root-password").await);
    let words = json!({"flaskblog.dev/rotate-password": "may", "flaskblog.dev/rotate-root-password": "may"});
    let patch = json!({"metadata": {"annotations": words}});
    house.blogs().patch("blog", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    rolled(&house, "flaskblog.dev/password-rotation", "may").await;
    assert_eq!(secret.key("previous-password").await, account);
    assert_eq!(secret.key("previous-root-password").await, root);
    house.workloads_become_ready("blog", 2).await;
    house
        .eventually("the account's old password goes", || async {
            secret.key("previous-password").await.is_none().then_some(())
        })
        .await;
    assert_eq!(secret.key("previous-root-password").await, root, "MySQL may have it still");
}

#[tokio::test]
async fn what_is_older_than_the_spec_says_is_rotated_once_and_the_event_says_why() {
    let house = House::open("aged").await;
    house.blog("blog", json!({"rotation": {"passwordDays": 30, "sessionKeyDays": 3650}})).await;
    house.settled("blog", 2).await;
    let secret = Kept::of(&house, "blog-mysql");
    let first = secret.key("password").await.unwrap();
    // The Secret records a rotation of long ago.
    let past = json!({"flaskblog.dev/rotated-at": "2020-01-01T00:00:00Z", "flaskblog.dev/root-rotated-at": "2020-01-01T00:00:00Z"});
    let patch = json!({"metadata": {"annotations": past}});
    secret.secrets.patch("blog-mysql", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    let second = secret.changed(&house, "password", &first).await;
    assert_eq!(secret.key("previous-password").await, Some(first));
    assert!(secret.key("previous-root-password").await.is_some());
    let rotated = secret.secrets.get("blog-mysql").await.unwrap().metadata.annotations.unwrap();
    rolled(&house, "flaskblog.dev/password-rotation", &rotated["flaskblog.dev/rotation"]).await;
    house.workloads_become_ready("blog", 2).await;
    house
        .eventually("it is finished", || async {
            secret.key("previous-password").await.is_none().then_some(())
        })
        .await;
    house.settled("blog", 2).await;
    assert_eq!(secret.key("password").await, Some(second), "it isn't old any more");
    assert_eq!(Kept::of(&house, "blog-session").key("previous").await, Some(String::new()), "a young key");
    let events = house.events().await;
    for what in ["the account", "root"] {
        let told = format!("blog-mysql (password of {what}: older than 30 days)");
        assert!(events.iter().any(|note| note.starts_with("Rotating") && note.contains(&told)), "{events:?}");
    }
}
