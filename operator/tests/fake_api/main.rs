//! Reconciles against a fake API server: order of calls, errors in the status, crashes at every write.

#![expect(clippy::unwrap_used, reason = "a failed unwrap in a test is a failed test, also in its helpers")]

mod commands;
mod contests;
mod data;
mod flows;
mod independence;
mod monitoring;
mod recommendation;
mod replicas;
mod reports;
mod rotation;
mod scheduler;
#[path = "../support/mod.rs"]
mod support;
mod takeover;
mod volume;

use std::{future, sync::Arc, time::Duration};

use flaskblog_api::{FlaskBlog, OwnedKind};
use kube::runtime::{controller::Action, reflector, watcher::Event};
use operator::{
    context::Context,
    controller::{
        reconciler::reconcile,
        scheduler::{Scheduler, stop_on},
    },
    model::{error::Error, settings::Settings},
};
use serde_json::{Value, json};
use support::fake::{FakeApi, Fault};

const NS: &str = "/api/v1/namespaces/press";
const APPS: &str = "/apis/apps/v1/namespaces/press";
const BLOG: &str = "/apis/flaskblog.dev/v1alpha1/namespaces/press/flaskblogs/daily";
const POLICIES: &str = "/apis/networking.k8s.io/v1/namespaces/press/networkpolicies";
const PDB: &str = "/apis/policy/v1/namespaces/press/poddisruptionbudgets/daily";

const CLAIM: &str = "/api/v1/namespaces/press/persistentvolumeclaims/data-daily-mysql-0";

/// A PVC as the StatefulSet's controller creates it.
fn claim(spec: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "spec": spec,
        "metadata": {"name": "data-daily-mysql-0", "labels": {"app.kubernetes.io/name": "flaskblog",
            "app.kubernetes.io/instance": "daily", "app.kubernetes.io/component": "database"}},
    })
}

/// A FlaskBlog. Its name and namespace differ on purpose, so that swapped ones fail.
fn blog(spec: Value) -> Value {
    json!({
        "apiVersion": "flaskblog.dev/v1alpha1", "kind": "FlaskBlog",
        "metadata": {"name": "daily", "namespace": "press", "uid": "blog-uid", "generation": 1},
        "spec": spec,
    })
}

fn context(fake: &FakeApi) -> Arc<Context> {
    let settings = Settings::for_image("flaskblog/blog-app:release");
    Arc::new(Context::new(fake.client(), "test", settings))
}

/// A fake with one blog in it.
fn fake_with(spec: Value) -> FakeApi {
    let fake = FakeApi::default();
    fake.put(BLOG, blog(spec));
    fake
}

/// One reconcile of the stored blog, as the controller starts it.
async fn step(fake: &FakeApi) -> Result<(), Error> {
    let blog: FlaskBlog = serde_json::from_value(fake.get(BLOG).unwrap()).unwrap();
    alone(blog, context(fake)).await.map(|_| ())
}

/// The only reconcile of a process, with a permit for it.
async fn alone(blog: FlaskBlog, ctx: Arc<Context>) -> Result<Action, Error> {
    let (blogs, mut writer) = reflector::store();
    writer.apply_watcher_event(&Event::Apply(blog.clone()));
    reconcile(Arc::new(blog), ctx, Scheduler::new(1, stop_on(future::pending())), blogs).await
}

/// One reconcile of a process that has run before.
async fn look(fake: &FakeApi, ctx: &Arc<Context>) -> Action {
    let blog: FlaskBlog = serde_json::from_value(fake.get(BLOG).unwrap()).unwrap();
    alone(blog, Arc::clone(ctx)).await.unwrap()
}

/// Adds optional kinds to discovery.
fn serve(fake: &FakeApi, group: &str, kinds: &[(&str, &str)]) {
    let resources: Vec<_> = kinds
        .iter()
        .map(|(plural, kind)| {
            json!({"name": plural, "singularName": "", "namespaced": true, "kind": kind, "verbs": ["get"]})
        })
        .collect();
    let list = json!({"kind": "APIResourceList", "apiVersion": "v1", "metadata": {}, "groupVersion": group,
        "resources": resources});
    fake.put(&format!("/apis/{group}"), list);
}

/// Writes the statuses of running workloads, as controllers and kubelets do.
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

const SECRETS: [&str; 3] = ["daily-mysql", "daily-session", "daily-mysql-tls"];

fn condition(fake: &FakeApi, type_: &str) -> Value {
    let blog = fake.get(BLOG).unwrap();
    commands::check_status(&blog);
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
            "POST secrets/daily-session",
            "POST secrets/daily-mysql-tls",
            "PATCH services/daily-mysql",
            "PATCH services/daily",
            "PATCH networkpolicies/daily-mysql",
            "PATCH networkpolicies/daily",
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
        assert_eq!(condition(&fake, "Ready")["reason"], "NameConflict");
    }
}

/// A reconcile whose watches have reported an empty cluster.
async fn watched_step(fake: &FakeApi) -> Result<(), Error> {
    let ctx = context(fake);
    for kind in OwnedKind::ALL {
        ctx.children.observe_event(kind, None, &Event::InitDone);
    }
    let blog: FlaskBlog = serde_json::from_value(fake.get(BLOG).unwrap()).unwrap();
    alone(blog, ctx).await.map(|_| ())
}

#[tokio::test]
async fn of_a_new_blog_only_data_is_asked_for_and_where_there_is_some_its_secrets_too() {
    let claim = "persistentvolumeclaims/data-daily-mysql-0";
    let fake = fake_with(json!({}));
    watched_step(&fake).await.unwrap();
    assert_eq!(fake.take_reads(), [claim]);
    let fake = fake_with(json!({}));
    fake.put(CLAIM, json!({"metadata": {"name": "data-daily-mysql-0"}, "spec": {}}));
    // Data without its Secrets has its own test.
    let _ = watched_step(&fake).await;
    let mut reads = fake.take_reads();
    reads.sort();
    assert_eq!(reads, [claim, "secrets/daily-mysql", "secrets/daily-mysql-tls", "secrets/daily-session"]);
}

#[tokio::test]
async fn of_a_blog_with_a_database_of_others_a_session_secret_without_labels_is_found_too() {
    let external = json!({"host": "db.example", "credentialsSecret": "theirs"});
    let fake = fake_with(json!({"database": {"external": external}}));
    fake.put(&format!("{NS}/secrets/theirs"), json!({"metadata": {"name": "theirs"}}));
    step(&fake).await.unwrap();
    fake.edit(&format!("{NS}/secrets/daily-session"), |secret| secret["metadata"]["labels"] = json!({}));
    fake.edit(BLOG, |blog| blog["spec"]["suspend"] = json!(true));
    let ctx = context(&fake);
    for kind in OwnedKind::ALL {
        ctx.children.observe_event(kind, None, &Event::InitDone);
    }
    let deployment = fake.get(&format!("{APPS}/deployments/daily")).unwrap();
    ctx.children.insert(OwnedKind::Deployment, &serde_json::from_value(deployment).unwrap());
    let _ = look(&fake, &ctx).await;
    let told = condition(&fake, "Suspended")["message"].as_str().unwrap().to_owned();
    assert!(told.contains("Secret daily-session: update in place"), "{told}");
}

/// The watches select by labels, so they miss an unmanaged object.
///
/// The create fails, and then everything is read.
#[tokio::test]
async fn a_stranger_that_no_watch_tells_of_is_left_alone_too() {
    let secret = format!("{NS}/secrets/daily-mysql");
    for path in
        [secret, format!("{NS}/services/daily"), format!("{APPS}/statefulsets/daily-mysql"), PDB.to_owned()]
    {
        let fake = fake_with(json!({}));
        fake.put(&path, json!({"apiVersion": "v1", "kind": "X", "metadata": {"name": "daily"}}));
        let before = fake.get(&path);
        assert_eq!(watched_step(&fake).await.unwrap_err().reason(), "NameConflict", "{path}");
        assert_eq!(fake.get(&path), before, "{path} was touched");
        assert_eq!(condition(&fake, "Ready")["reason"], "NameConflict");
    }
}

#[tokio::test]
async fn an_object_that_lost_the_labels_by_which_it_is_watched_gets_them_again() {
    for path in ["services/daily", "secrets/daily-mysql", "secrets/daily-session"] {
        let fake = fake_with(json!({}));
        step(&fake).await.unwrap();
        let path = format!("{NS}/{path}");
        fake.edit(&path, |object| object["metadata"]["labels"] = json!({"of": "others"}));
        let data = fake.get(&path).unwrap()["data"].clone();
        watched_step(&fake).await.unwrap();
        let object = fake.get(&path).unwrap();
        let labels = &object["metadata"]["labels"];
        assert_eq!(
            (&labels["app.kubernetes.io/managed-by"], &labels["of"], &object["data"]),
            (&json!("flaskblog-operator"), &json!("others"), &data),
            "{path}"
        );
    }
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
async fn no_object_has_a_finalizer() {
    let fake = fake_with(json!({"deletionPolicy": "Delete"}));
    step(&fake).await.unwrap();
    workloads_become_ready(&fake, 2);
    step(&fake).await.unwrap();
    let all = fake.normalized();
    assert!(all.len() > 8, "{all:?}");
    for (path, object) in all {
        assert!(object["metadata"].get("finalizers").is_none(), "{path}: {object}");
    }
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
    fake.remove(&format!("{APPS}/deployments/daily"));
    step(&fake).await.unwrap();
    assert_eq!(image(&fake), "flaskblog/blog-app:older", "a deleted Deployment comes back as it was");
    fake.edit(BLOG, |blog| blog["spec"]["image"] = "mine:1".into());
    step(&fake).await.unwrap();
    assert_eq!(image(&fake), "mine:1");
}

#[tokio::test]
async fn fields_held_by_an_update_are_taken_over_once() {
    let path = format!("{APPS}/deployments/daily");
    let fake = fake_with(json!({}));
    step(&fake).await.unwrap();
    let entry = |operation: &str, field: &str| {
        json!({"manager": "flaskblog-operator", "operation": operation, "apiVersion": "apps/v1",
            "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {field: {}}}})
    };
    fake.edit(&path, |deployment| {
        deployment["metadata"]["managedFields"] = json!([entry("Apply", "f:a"), entry("Update", "f:b")]);
    });
    fake.take_writes();
    step(&fake).await.unwrap();
    assert_eq!(fake.take_writes(), ["PATCH deployments/daily", "PATCH deployments/daily"]);
    let managed = fake.get(&path).unwrap()["metadata"]["managedFields"].clone();
    assert_eq!(managed.as_array().unwrap().len(), 1);
    assert_eq!(managed[0]["fieldsV1"], json!({"f:spec": {"f:a": {}, "f:b": {}}}));
    step(&fake).await.unwrap();
    assert_eq!(fake.take_writes(), [""; 0]);
}

/// Fault case 1: after a crash at any write the blog converges.
///
/// The objects and passwords are the same, whether the write was carried out or not.
#[tokio::test]
async fn interrupted_at_every_write_it_converges_to_the_same_objects() {
    let undisturbed = fake_with(json!({}));
    step(&undisturbed).await.unwrap();
    let writes = undisturbed.take_writes().len();
    assert!(writes > 8);
    for fault in [Fault::Refused(500), Fault::AnswerLost] {
        for at in 0..writes {
            let fake = fake_with(json!({}));
            fake.disturb(move |_, number| {
                (number >= at).then_some(if number == at { fault } else { Fault::Refused(500) })
            });
            step(&fake).await.unwrap_err();
            let kept = SECRETS.map(|name| fake.get(&format!("{NS}/secrets/{name}")));
            fake.leave_alone();
            step(&fake).await.unwrap();
            let without_status = |fake: &FakeApi| {
                let mut objects = fake.normalized();
                objects.remove(BLOG);
                objects
            };
            assert_eq!(without_status(&fake), without_status(&undisturbed), "{fault:?} at write {at}");
            for (before, name) in kept.iter().zip(SECRETS) {
                let after = fake.get(&format!("{NS}/secrets/{name}")).unwrap();
                assert!(
                    before.as_ref().is_none_or(|before| before["stringData"] == after["stringData"]),
                    "{name} changed"
                );
            }
        }
    }
}
