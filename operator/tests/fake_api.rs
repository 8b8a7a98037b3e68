//! One reconcile after another against a fake API server: order of calls, errors to status, crashes at every write.

#![expect(clippy::unwrap_used, reason = "a failed unwrap in a test is a failed test, also in its helpers")]

mod support;

use std::{sync::Arc, time::Duration};

use flaskblog_api::FlaskBlog;
use operator::{config::Settings, context::Context, error::Error, reconcile::reconcile};
use serde_json::{Value, json};
use support::fake::{FakeApi, Fault};

const NS: &str = "/api/v1/namespaces/press";
const APPS: &str = "/apis/apps/v1/namespaces/press";
const BLOG: &str = "/apis/flaskblog.dev/v1alpha1/namespaces/press/flaskblogs/daily";
const PDB: &str = "/apis/policy/v1/namespaces/press/poddisruptionbudgets/daily";

/// The name of the blog and of its namespace differ on purpose: swapped ones would show.
fn blog(spec: Value) -> Value {
    json!({
        "apiVersion": "flaskblog.dev/v1alpha1", "kind": "FlaskBlog",
        "metadata": {"name": "daily", "namespace": "press", "uid": "blog-uid", "generation": 1},
        "spec": spec,
    })
}

fn context(fake: &FakeApi) -> Arc<Context> {
    let settings = Settings {
        blog_image: "flaskblog/blog-app:release".into(),
        node_address: "localhost".into(),
        resync: Duration::from_secs(600),
    };
    Arc::new(Context::new(fake.client(), "test", settings))
}

/// A fake with one blog in it.
fn fake_with(spec: Value) -> FakeApi {
    let fake = FakeApi::default();
    fake.put(BLOG, blog(spec));
    fake
}

/// One reconcile, as the controller would start it: with the blog as it is stored now.
async fn step(fake: &FakeApi) -> Result<(), Error> {
    let blog: FlaskBlog = serde_json::from_value(fake.get(BLOG).unwrap()).unwrap();
    reconcile(Arc::new(blog), context(fake)).await.map(|_| ())
}

/// What controllers and kubelets would write once everything runs.
fn workloads_become_ready(fake: &FakeApi, replicas: i32) {
    fake.edit(&format!("{APPS}/deployments/daily"), |deployment| {
        deployment["status"] = json!({"observedGeneration": deployment["metadata"]["generation"], "replicas": replicas,
            "updatedReplicas": replicas, "readyReplicas": replicas, "availableReplicas": replicas});
    });
    fake.edit(&format!("{APPS}/statefulsets/daily-mysql"), |set| {
        set["status"] = json!({"observedGeneration": set["metadata"]["generation"], "replicas": 1, "readyReplicas": 1,
            "updatedReplicas": 1, "currentRevision": "a", "updateRevision": "a"});
    });
}

fn condition(fake: &FakeApi, type_: &str) -> Value {
    let blog = fake.get(BLOG).unwrap();
    let conditions = blog["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.into_iter().find(|one| one["type"] == type_).unwrap_or_else(|| panic!("no {type_} in {blog}"))
}

#[tokio::test]
async fn a_new_blog_gets_its_objects_in_apply_order_and_its_status_last() {
    let fake = fake_with(json!({}));
    step(&fake).await.unwrap();
    assert_eq!(
        fake.take_writes(),
        [
            "PATCH serviceaccounts/daily",
            "POST secrets/daily-mysql",
            "PATCH secrets/daily-mysql",
            "POST secrets/daily-session",
            "PATCH secrets/daily-session",
            "PATCH services/daily-mysql",
            "PATCH services/daily",
            "PATCH statefulsets/daily-mysql",
            "PATCH deployments/daily",
            "PATCH poddisruptionbudgets/daily",
            "PATCH flaskblogs/daily/status",
        ]
    );
    assert_eq!(condition(&fake, "Ready")["status"], "False");
    assert_eq!(condition(&fake, "Ready")["observedGeneration"], 1);
}

#[tokio::test]
async fn a_settled_blog_is_ready_and_causes_no_write() {
    let fake = fake_with(json!({}));
    step(&fake).await.unwrap();
    workloads_become_ready(&fake, 2);
    step(&fake).await.unwrap();
    assert_eq!(condition(&fake, "Ready")["status"], "True");
    fake.take_writes();
    for _ in 0..5 {
        step(&fake).await.unwrap();
    }
    assert_eq!(fake.take_writes(), Vec::<String>::new());
}

#[tokio::test]
async fn a_spec_edit_makes_ready_false_until_the_new_generation_serves() {
    let fake = fake_with(json!({}));
    step(&fake).await.unwrap();
    workloads_become_ready(&fake, 2);
    step(&fake).await.unwrap();
    fake.edit(BLOG, |blog| {
        blog["metadata"]["generation"] = 2.into();
        blog["spec"]["title"] = "New".into();
    });
    fake.edit(&format!("{APPS}/deployments/daily"), |deployment| {
        deployment["metadata"]["generation"] = 2.into();
    });
    step(&fake).await.unwrap();
    assert_eq!(condition(&fake, "Ready")["status"], "False");
    assert_eq!(condition(&fake, "Ready")["reason"], "RollingOut");
    workloads_become_ready(&fake, 2);
    step(&fake).await.unwrap();
    assert_eq!(condition(&fake, "Ready")["status"], "True");
    assert_eq!(condition(&fake, "Ready")["observedGeneration"], 2);
}

/// Between a changed template and the restart, Kubernetes still counts MySQL's old pod as ready.
#[tokio::test]
async fn ready_is_false_while_mysql_still_runs_its_old_template() {
    let fake = fake_with(json!({}));
    step(&fake).await.unwrap();
    workloads_become_ready(&fake, 2);
    fake.edit(&format!("{APPS}/statefulsets/daily-mysql"), |set| {
        set["status"]["updatedReplicas"] = 0.into();
        set["status"]["updateRevision"] = "b".into();
    });
    step(&fake).await.unwrap();
    assert_eq!(condition(&fake, "Ready")["status"], "False");
    assert_eq!(condition(&fake, "DatabaseReady")["status"], "True");
}

#[tokio::test]
async fn a_refused_write_reaches_status_and_event_with_its_reason() {
    for (code, reason) in [(403, "Forbidden"), (422, "Rejected"), (500, "ApiError")] {
        let fake = fake_with(json!({}));
        fake.disturb(move |line, _| (line == "PATCH deployments/daily").then_some(Fault::Refused(code)));
        let error = step(&fake).await.unwrap_err();
        assert_eq!(error.reason(), reason);
        for type_ in ["Ready", "Degraded"] {
            assert_eq!(condition(&fake, type_)["reason"], reason, "{type_}");
        }
        let message = condition(&fake, "Ready")["message"].to_string();
        assert!(message.contains("failed to apply Deployment daily"), "{message}");
        assert!(fake.events().iter().any(|event| event["reason"] == reason && event["type"] == "Warning"));
    }
}

#[tokio::test]
async fn a_passing_api_error_leaves_a_ready_blog_ready_but_degraded() {
    let fake = fake_with(json!({}));
    step(&fake).await.unwrap();
    workloads_become_ready(&fake, 2);
    step(&fake).await.unwrap();
    fake.remove(PDB);
    fake.disturb(|line, _| line.starts_with("PATCH poddisruptionbudgets").then_some(Fault::Refused(500)));
    step(&fake).await.unwrap_err();
    assert_eq!(condition(&fake, "Ready")["status"], "True");
    assert_eq!(condition(&fake, "Degraded")["status"], "True");
    fake.leave_alone();
    step(&fake).await.unwrap();
    assert_eq!(condition(&fake, "Degraded")["status"], "False");
}

#[tokio::test]
async fn strangers_of_a_childs_name_are_left_alone_and_reported() {
    for path in [
        format!("{NS}/services/daily"),
        format!("{NS}/secrets/daily-mysql"),
        format!("{APPS}/deployments/daily"),
    ] {
        let fake = fake_with(json!({}));
        let stranger = json!({"apiVersion": "v1", "kind": "X", "metadata": {"name": "daily", "labels": {"of": "others"}}});
        fake.put(&path, stranger);
        let before = fake.get(&path);
        assert_eq!(step(&fake).await.unwrap_err().reason(), "NameConflict", "{path}");
        assert_eq!(fake.get(&path), before, "{path} was touched");
        assert_eq!(fake.take_writes(), ["PATCH flaskblogs/daily/status"]);
        assert_eq!(condition(&fake, "Ready")["reason"], "NameConflict");
    }
}

#[tokio::test]
async fn old_data_without_its_password_is_never_given_a_new_one() {
    let fake = fake_with(json!({}));
    let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data-daily-mysql-0"}});
    fake.put(&format!("{NS}/persistentvolumeclaims/data-daily-mysql-0"), claim);
    assert_eq!(step(&fake).await.unwrap_err().reason(), "CredentialsMissing");
    assert!(fake.get(&format!("{NS}/secrets/daily-mysql")).is_none());
}

#[tokio::test]
async fn kept_secrets_are_taken_up_again_unchanged() {
    let fake = fake_with(json!({}));
    step(&fake).await.unwrap();
    let secret = format!("{NS}/secrets/daily-mysql");
    let before = fake.get(&secret).unwrap();
    assert!(before["metadata"]["ownerReferences"].is_null(), "Retain: no owner, so no garbage collection");
    for gone in [format!("{APPS}/deployments/daily"), format!("{APPS}/statefulsets/daily-mysql")] {
        fake.remove(&gone);
    }
    for gone in [
        format!("{NS}/services/daily"),
        format!("{NS}/services/daily-mysql"),
        format!("{NS}/serviceaccounts/daily"),
        PDB.into(),
    ] {
        fake.remove(&gone);
    }
    fake.edit(BLOG, |blog| blog["metadata"]["uid"] = "second-uid".into());
    step(&fake).await.unwrap();
    assert_eq!(fake.get(&secret).unwrap()["stringData"], before["stringData"]);
}

#[tokio::test]
async fn objects_of_a_deleted_blog_of_the_same_name_are_waited_for() {
    let fake = fake_with(json!({}));
    step(&fake).await.unwrap();
    fake.edit(BLOG, |blog| blog["metadata"]["uid"] = "second-uid".into());
    fake.take_writes();
    assert_eq!(step(&fake).await.unwrap_err().reason(), "WaitingForCleanup");
    assert_eq!(fake.take_writes(), ["PATCH flaskblogs/daily/status"]);
}

#[tokio::test]
async fn delete_as_policy_gives_the_secrets_an_owner() {
    let fake = fake_with(json!({"deletionPolicy": "Delete"}));
    step(&fake).await.unwrap();
    for name in ["daily-mysql", "daily-session"] {
        let secret = fake.get(&format!("{NS}/secrets/{name}")).unwrap();
        assert_eq!(secret["metadata"]["ownerReferences"][0]["uid"], "blog-uid", "{name}");
    }
    let set = fake.get(&format!("{APPS}/statefulsets/daily-mysql")).unwrap();
    assert_eq!(set["spec"]["persistentVolumeClaimRetentionPolicy"]["whenDeleted"], "Retain");
    let claim = format!("{NS}/persistentvolumeclaims/data-daily-mysql-0");
    fake.put(&claim, json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data-daily-mysql-0"}}));
    step(&fake).await.unwrap();
    assert_eq!(fake.get(&claim).unwrap()["metadata"]["ownerReferences"][0]["uid"], "blog-uid");
    fake.edit(BLOG, |blog| blog["spec"]["deletionPolicy"] = "Retain".into());
    step(&fake).await.unwrap();
    assert_eq!(fake.get(&claim).unwrap()["metadata"]["ownerReferences"], json!([]));
}

#[tokio::test]
async fn one_replica_has_no_disruption_budget_and_an_old_one_is_pruned() {
    let fake = fake_with(json!({}));
    step(&fake).await.unwrap();
    assert!(fake.get(PDB).is_some());
    fake.edit(BLOG, |blog| blog["spec"]["replicas"] = 1.into());
    step(&fake).await.unwrap();
    assert!(fake.get(PDB).is_none());
}

#[tokio::test]
async fn a_blog_being_deleted_is_not_touched() {
    let fake = fake_with(json!({}));
    fake.edit(BLOG, |blog| blog["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into());
    step(&fake).await.unwrap();
    assert_eq!(fake.take_writes(), Vec::<String>::new());
}

#[tokio::test]
async fn a_new_operator_release_restarts_no_blog_but_a_named_image_is_obeyed() {
    let image = |fake: &FakeApi| {
        let deployment = fake.get(&format!("{APPS}/deployments/daily")).unwrap();
        deployment["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap().to_owned()
    };
    let fake = fake_with(json!({}));
    step(&fake).await.unwrap();
    fake.edit(&format!("{APPS}/deployments/daily"), |deployment| {
        deployment["metadata"]["annotations"]["flaskblog.dev/default-image"] =
            "flaskblog/blog-app:older".into();
    });
    step(&fake).await.unwrap();
    assert_eq!(image(&fake), "flaskblog/blog-app:older");
    fake.edit(BLOG, |blog| blog["spec"]["image"] = "mine:1".into());
    step(&fake).await.unwrap();
    assert_eq!(image(&fake), "mine:1");
}

/// Fault case 1: whatever write is the last before a crash, carried out or not, the next run ends with the same objects
/// and the same passwords.
#[tokio::test]
async fn interrupted_at_every_write_it_converges_to_the_same_objects() {
    let undisturbed = fake_with(json!({}));
    step(&undisturbed).await.unwrap();
    let writes = undisturbed.take_writes().len();
    assert!(writes > 10);
    for fault in [Fault::Refused(500), Fault::AnswerLost] {
        for at in 0..writes {
            let fake = fake_with(json!({}));
            fake.disturb(move |_, number| {
                (number >= at).then_some(if number == at { fault } else { Fault::Refused(500) })
            });
            step(&fake).await.unwrap_err();
            let kept = ["daily-mysql", "daily-session"].map(|name| fake.get(&format!("{NS}/secrets/{name}")));
            fake.leave_alone();
            step(&fake).await.unwrap();
            let without_status = |fake: &FakeApi| {
                let mut objects = fake.normalized();
                objects.remove(BLOG);
                objects
            };
            assert_eq!(without_status(&fake), without_status(&undisturbed), "{fault:?} at write {at}");
            for (before, name) in kept.iter().zip(["daily-mysql", "daily-session"]) {
                let after = fake.get(&format!("{NS}/secrets/{name}")).unwrap();
                assert!(
                    before.as_ref().is_none_or(|before| before["stringData"] == after["stringData"]),
                    "{name} changed"
                );
            }
        }
    }
}

#[tokio::test]
async fn no_generated_secret_appears_in_status_events_or_workloads() {
    let fake = fake_with(json!({}));
    step(&fake).await.unwrap();
    let secrets: Vec<String> = ["daily-mysql", "daily-session"]
        .iter()
        .flat_map(|name| {
            let secret = fake.get(&format!("{NS}/secrets/{name}")).unwrap();
            let data = secret["stringData"].as_object().unwrap().clone();
            data.into_iter().filter(|(key, _)| !["username", "database"].contains(&key.as_str()))
        })
        .filter_map(|(_, value)| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned))
        .collect();
    assert_eq!(secrets.len(), 3);
    let mut everything = fake.normalized();
    everything.retain(|path, _| !path.contains("/secrets/"));
    let text = format!("{everything:?}{:?}", fake.events());
    assert!(secrets.iter().all(|secret| !text.contains(secret.as_str())));
}
