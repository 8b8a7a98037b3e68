//! A rotation begins exactly once, whatever is lost or late. A second one would lose the password that MySQL has.

use std::sync::Arc;

use flaskblog_api::{FlaskBlog, OwnedKind};
use kube::runtime::watcher::Event;
use operator::{cli::plan::preview, context::Context};
use serde_json::{Value, json};

use crate::{
    APPS, BLOG, NS, alone, condition, context, fake_with,
    support::fake::{FakeApi, Fault},
    workloads_become_ready,
};

const BOTH: [&str; 2] = ["flaskblog.dev/rotate-password", "flaskblog.dev/rotate-root-password"];

fn secret(fake: &FakeApi) -> Value {
    fake.get(&format!("{NS}/secrets/daily-mysql")).unwrap()
}

/// One reconcile of an operator that has run for a while.
async fn step(fake: &FakeApi, ctx: &Arc<Context>) -> bool {
    let blog: FlaskBlog = serde_json::from_value(fake.get(BLOG).unwrap()).unwrap();
    alone(blog, Arc::clone(ctx)).await.is_ok()
}

async fn asked(word: &str) -> (FakeApi, Arc<Context>) {
    let fake = fake_with(json!({}));
    let ctx = context(&fake);
    assert!(step(&fake, &ctx).await);
    workloads_become_ready(&fake, 2);
    // One replica is still starting, so no rotation can finish yet.
    fake.edit(&format!("{APPS}/deployments/daily"), |app| app["status"]["availableReplicas"] = 1.into());
    let words: Value = BOTH.map(|annotation| (annotation.to_owned(), json!(word))).into_iter().collect();
    fake.edit(BLOG, |blog| blog["metadata"]["annotations"] = words);
    (fake, ctx)
}

fn told_by_the_watch(ctx: &Context, object: &Value) {
    let mut object = object.clone();
    for field in ["data", "stringData"] {
        object.as_object_mut().unwrap().remove(field);
    }
    ctx.children.observe_event(
        OwnedKind::Secret,
        None,
        &Event::Apply(serde_json::from_value(object).unwrap()),
    );
}

#[tokio::test]
async fn a_rotation_is_begun_once_though_the_watch_lags() {
    let (fake, ctx) = asked("may").await;
    let before = secret(&fake);
    told_by_the_watch(&ctx, &before);
    assert!(step(&fake, &ctx).await);
    let begun = secret(&fake);
    assert_ne!(begun["data"], before["data"]);
    assert!(begun["data"]["password"].is_string() && begun["data"]["root-password"].is_string());
    // The watch still reports the stale Secret.
    for _ in 0..3 {
        assert!(step(&fake, &ctx).await);
        assert_eq!(secret(&fake)["data"], begun["data"]);
    }
    told_by_the_watch(&ctx, &begun);
    assert!(step(&fake, &ctx).await);
    assert_eq!(secret(&fake)["data"], begun["data"]);
}

#[tokio::test]
async fn a_rotation_whose_answer_was_lost_is_not_begun_again() {
    for fault in [Fault::AnswerLost, Fault::Refused(500)] {
        let (fake, ctx) = asked("may").await;
        let before = secret(&fake)["data"].clone();
        fake.disturb(move |line, _| (line == "PATCH secrets/daily-mysql").then_some(fault));
        assert!(!step(&fake, &ctx).await, "{fault:?}");
        let lost = secret(&fake)["data"].clone();
        assert_eq!(lost == before, fault == Fault::Refused(500));
        fake.leave_alone();
        assert!(step(&fake, &ctx).await);
        let data = secret(&fake)["data"].clone();
        assert!(data["password"].is_string() && (lost == before || data == lost), "{fault:?}");
    }
}

#[tokio::test]
async fn age_touches_nothing_of_a_suspended_blog_and_is_heard_afterwards() {
    let fake = fake_with(json!({"rotation": {"passwordDays": 1}}));
    let ctx = context(&fake);
    assert!(step(&fake, &ctx).await);
    workloads_become_ready(&fake, 2);
    let old = json!({"flaskblog.dev/rotated-at": "2020-01-01T00:00:00Z", "flaskblog.dev/root-rotated-at": "2020-01-01T00:00:00Z"});
    fake.edit(&format!("{NS}/secrets/daily-mysql"), |secret| secret["metadata"]["annotations"] = old);
    fake.edit(BLOG, |blog| blog["spec"]["suspend"] = true.into());
    fake.take_writes();
    assert!(step(&fake, &ctx).await);
    assert_eq!(fake.take_writes(), ["PATCH flaskblogs/daily/status"]);
    fake.edit(BLOG, |blog| blog["spec"]["suspend"] = false.into());
    assert!(step(&fake, &ctx).await);
    assert!(fake.take_writes().contains(&"PATCH secrets/daily-mysql".to_owned()));
}

#[tokio::test]
async fn due_rotation_is_listed_by_plan_and_while_suspended() {
    let (fake, ctx) = asked("may").await;
    let blog: FlaskBlog = serde_json::from_value(fake.get(BLOG).unwrap()).unwrap();
    let line =
        "Secret daily-mysql: rotate the password of the account (asked for by flaskblog.dev/rotate-password)";
    fake.take_writes();
    let preview = preview(fake.client(), blog, ctx.settings.clone()).await.unwrap();
    assert!(preview.text.contains(line), "{}", preview.text);
    assert_eq!(fake.take_writes(), [""; 0]);
    fake.edit(BLOG, |blog| blog["spec"]["suspend"] = true.into());
    assert!(step(&fake, &ctx).await);
    let suspended = condition(&fake, "Suspended");
    assert!(suspended["message"].as_str().unwrap().contains(line), "{suspended}");
}

#[tokio::test]
async fn failing_credential_sync_is_named_and_ready_holds() {
    let fake = fake_with(json!({}));
    let ctx = context(&fake);
    assert!(step(&fake, &ctx).await);
    workloads_become_ready(&fake, 2);
    fake.edit(&format!("{APPS}/statefulsets/daily-mysql"), |set| set["status"]["readyReplicas"] = 0.into());
    let container = |name: &str, ready: bool| json!({"name": name, "ready": ready, "restartCount": 0, "image": "", "imageID": "", "state": {"running": {}}});
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "daily-mysql-0", "namespace": "press",
        "labels": {"controller-revision-hash": "a"}},
        "status": {"containerStatuses": [container("mysql", true), container("credential-sync", false)]}});
    fake.put(&format!("{NS}/pods/daily-mysql-0"), pod);
    let ctx = context(&fake);
    assert!(step(&fake, &ctx).await);
    for (type_, status) in [("Ready", "True"), ("DatabaseReady", "True"), ("Degraded", "True")] {
        assert_eq!(condition(&fake, type_)["status"], status, "{type_}");
    }
    assert_eq!(condition(&fake, "Degraded")["reason"], "CredentialsNotSynced");
    let before = secret(&fake);
    fake.edit(BLOG, |blog| {
        blog["metadata"]["annotations"] = json!({"flaskblog.dev/rotate-root-password": "now"});
    });
    assert!(step(&fake, &ctx).await);
    assert_eq!(secret(&fake), before, "a new password of root was begun");
}
