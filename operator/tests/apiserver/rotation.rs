//! New passwords and keys, step by step.

use flaskblog_api::Child;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api,
    api::{Patch, PatchParams},
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

/// Interrupted in the middle: another operator finishes it.
#[tokio::test]
async fn a_new_password_stands_beside_the_old_one_until_every_replica_has_started_since() {
    let mut house = House::open("rotates").await;
    house.blog("blog", json!({})).await;
    house.settled("blog", 2).await;
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
    // The same word again asks for nothing.
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
    let house = House::open("keys").await;
    house.blog("blog", json!({})).await;
    house.settled("blog", 2).await;
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
