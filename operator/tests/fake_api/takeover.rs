//! Objects of an earlier build, whose names for the same things differ.

use flaskblog_api::{
    Child, FlaskBlog,
    children::{RENAMED, TEMPLATE_HASH},
};
use operator::model::{
    containers::{CREDENTIAL_SYNC, EARLIER_CREDENTIAL_SYNC},
    hash::hash_of,
};
use serde_json::{Value, json};

use crate::{APPS, BLOG, NS, alone, context, fake_with, support::fake::FakeApi, workloads_become_ready};

/// One reconcile of a process that has just started.
async fn start(fake: &FakeApi) {
    let blog: FlaskBlog = serde_json::from_value(fake.get(BLOG).unwrap()).unwrap();
    alone(blog, context(fake)).await.unwrap();
}

fn secret(fake: &FakeApi, name: &str) -> Value {
    fake.get(&format!("{NS}/secrets/{name}")).unwrap()
}

fn statefulset() -> String {
    format!("{APPS}/statefulsets/daily-mysql")
}

/// Replaces today's names by the earlier ones.
fn age(fake: &FakeApi) {
    for role in [Child::DatabaseSecret, Child::SessionSecret, Child::DatabaseCertificates] {
        fake.edit(&format!("{NS}/secrets/{}", role.name("daily")), |secret| {
            let annotations = secret["metadata"]["annotations"].as_object_mut().unwrap();
            for (earlier, today) in RENAMED {
                annotations.remove(today).map(|value| annotations.insert(earlier.into(), value));
            }
        });
    }
    fake.edit(&statefulset(), |set| {
        let template = set["spec"]["template"].to_string().replace(CREDENTIAL_SYNC, EARLIER_CREDENTIAL_SYNC);
        set["spec"]["template"] = serde_json::from_str(&template).unwrap();
        let hash = set["metadata"]["annotations"][TEMPLATE_HASH].as_str().unwrap().to_owned();
        set["metadata"]["annotations"][TEMPLATE_HASH] = hash_of(&set["spec"]["template"]).into();
        assert_ne!(set["metadata"]["annotations"][TEMPLATE_HASH], hash);
    });
}

/// A blog of the earlier build in the middle of both rotations of its passwords.
async fn aged() -> FakeApi {
    let fake = fake_with(json!({}));
    start(&fake).await;
    workloads_become_ready(&fake, 2);
    // An API server turns `stringData` into `data`.
    fake.edit(&format!("{NS}/secrets/daily-session"), |secret| secret["data"]["current"] = "Zmlyc3Q=".into());
    fake.edit(BLOG, |blog| {
        blog["metadata"]["annotations"] = json!({"flaskblog.dev/rotate-password": "may",
            "flaskblog.dev/rotate-root-password": "may", "flaskblog.dev/rotate-session-keys": "may"});
    });
    start(&fake).await;
    age(&fake);
    fake
}

#[tokio::test]
async fn earlier_names_of_mysqls_pod_cause_no_restart() {
    let fake = aged().await;
    let before = fake.get(&statefulset()).unwrap();
    for _ in 0..2 {
        start(&fake).await;
        assert_eq!(fake.get(&statefulset()).unwrap()["spec"], before["spec"]);
    }
    fake.take_writes();
    start(&fake).await;
    let writes = fake.take_writes();
    assert!(!writes.iter().any(|line| line.contains("statefulsets")), "{writes:?}");
}

#[tokio::test]
async fn rotation_of_the_earlier_build_is_finished_once() {
    let fake = aged().await;
    let before = [secret(&fake, "daily-mysql"), secret(&fake, "daily-session")];
    assert!(before[0]["data"]["previous-password"].is_string(), "no rotation is in progress");
    start(&fake).await;
    for (name, before) in ["daily-mysql", "daily-session"].into_iter().zip(&before) {
        let renamed = secret(&fake, name);
        assert_eq!(renamed["data"], before["data"], "{name} was rotated twice");
        let annotations = renamed["metadata"]["annotations"].as_object().unwrap();
        assert!(RENAMED.iter().all(|(earlier, _)| !annotations.contains_key(*earlier)), "{annotations:?}");
        assert_eq!(annotations["flaskblog.dev/rotation-in-progress"], "true");
    }
    workloads_become_ready(&fake, 2);
    for _ in 0..3 {
        start(&fake).await;
    }
    let [account, session] = [secret(&fake, "daily-mysql"), secret(&fake, "daily-session")];
    assert_eq!(account["data"]["password"], before[0]["data"]["password"]);
    assert!(account["data"]["previous-password"].is_null());
    assert_eq!(account["data"]["root-password"], before[0]["data"]["root-password"]);
    assert_eq!(session["data"]["current"], before[1]["data"]["previous"], "swapped exactly once");
    assert_eq!(session["data"]["previous"], before[1]["data"]["current"]);
}
