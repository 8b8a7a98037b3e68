//! Fault case 1 for every flow: after a crash at any write, carried out or not, the next operator converges to the same
//! objects.

use serde_json::{Value, json};

use crate::{
    APPS, BLOG, CLAIM, claim, condition, fake_with, step,
    support::fake::{FakeApi, Fault},
};

/// A change of the spec, and the blog's state once converged.
struct Flow {
    name: &'static str,
    from: Value,
    to: Value,
}

fn flows() -> Vec<Flow> {
    let flow = |name, from, to| Flow { name, from, to };
    let sized = |size: &str| json!({"database": {"managed": {"storage": {"size": size}}}});
    vec![
        flow("scale up", json!({}), json!({"replicas": 5})),
        flow("scale to zero", json!({}), json!({"replicas": 0})),
        flow(
            "upgrade",
            json!({"image": "mine:1"}),
            json!({"image": "mine:2", "database": {"managed": {"image": "mysql:9.7.1"}}}),
        ),
        flow(
            "autoscale",
            json!({"replicas": 3}),
            json!({"autoscaling": {"minReplicas": 2, "maxReplicas": 4}}),
        ),
        flow("let go of the autoscaler", json!({"autoscaling": {"maxReplicas": 4}}), json!({"replicas": 2})),
        flow("fall asleep", json!({}), json!({"hibernate": true})),
        flow("wake", json!({"hibernate": true}), json!({})),
        flow("grow", sized("1Gi"), sized("2Gi")),
        flow("hand over the data", json!({}), json!({"deletionPolicy": "Delete"})),
        flow(
            "take the ingress away",
            json!({"ingress": {"host": "a.example"}}),
            json!({"networkPolicy": {"enabled": false}}),
        ),
    ]
}

/// Updates statuses as controllers and kubelets do.
fn the_cluster_follows(fake: &FakeApi) {
    let deployment = format!("{APPS}/deployments/daily");
    if fake.get(&deployment).is_some() {
        fake.edit(&deployment, |it| {
            let replicas = it["spec"]["replicas"].as_i64().unwrap_or(1);
            it["status"] = json!({"observedGeneration": it["metadata"]["generation"], "replicas": replicas,
                "updatedReplicas": replicas, "readyReplicas": replicas, "availableReplicas": replicas});
        });
    }
    let set = format!("{APPS}/statefulsets/daily-mysql");
    if fake.get(&set).is_some() {
        fake.edit(&set, |it| {
            let replicas = it["spec"]["replicas"].as_i64().unwrap_or(1);
            it["status"] = json!({"observedGeneration": it["metadata"]["generation"], "replicas": replicas,
                "readyReplicas": replicas, "updatedReplicas": replicas, "currentRevision": "a", "updateRevision": "a"});
        });
    }
    fake.edit(CLAIM, |it| {
        let size = it["spec"]["resources"]["requests"]["storage"].clone();
        it["status"] = json!({"phase": "Bound", "capacity": {"storage": size}});
    });
}

/// Reconciles until no write is left. An error is retried, as by the work queue.
async fn rest(fake: &FakeApi) {
    for _ in 0..30 {
        fake.take_writes();
        let outcome = step(fake).await;
        the_cluster_follows(fake);
        if outcome.is_ok() && fake.take_writes().is_empty() {
            return;
        }
    }
    panic!("it doesn't come to rest: {:?}", fake.get(BLOG));
}

async fn at_rest_with(spec: &Value) -> FakeApi {
    let fake = fake_with(spec.clone());
    fake.put(CLAIM, claim(&json!({"volumeName": "pv", "resources": {"requests": {"storage": "1Gi"}}})));
    fake.put("/api/v1/namespaces/press/secrets/daily-mysql", kept_secret());
    rest(&fake).await;
    fake
}

/// The PVC exists from the start, so its passwords must exist too.
fn kept_secret() -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "stringData": {"password": "kept"},
        "metadata": {"name": "daily-mysql", "labels": {"app.kubernetes.io/managed-by": "flaskblog-operator",
            "app.kubernetes.io/name": "flaskblog", "app.kubernetes.io/instance": "daily"}}})
}

fn objects(fake: &FakeApi) -> std::collections::BTreeMap<String, Value> {
    let mut objects = fake.normalized();
    objects.remove(BLOG);
    objects
}

fn change(fake: &FakeApi, to: &Value) {
    fake.edit(BLOG, |blog| {
        blog["spec"] = to.clone();
        blog["metadata"]["generation"] = 2.into();
    });
}

#[tokio::test]
async fn every_flow_that_is_interrupted_at_any_write_ends_as_an_undisturbed_one() {
    for flow in flows() {
        let undisturbed = at_rest_with(&flow.from).await;
        change(&undisturbed, &flow.to);
        rest(&undisturbed).await;
        let mut crashes = 0;
        for fault in [Fault::Refused(500), Fault::AnswerLost] {
            for at in 0..20 {
                let fake = at_rest_with(&flow.from).await;
                change(&fake, &flow.to);
                if !crash_at(&fake, at, fault).await {
                    break;
                }
                crashes += 1;
                rest(&fake).await;
                assert_eq!(objects(&fake), objects(&undisturbed), "{}, {fault:?} at write {at}", flow.name);
                assert_eq!(condition(&fake, "Ready")["status"], condition(&undisturbed, "Ready")["status"]);
            }
        }
        assert!(crashes >= 2, "{}: only {crashes} crashes, so this proves little", flow.name);
    }
}

/// Runs the flow with a crash at that write. Returns whether it got that far.
async fn crash_at(fake: &FakeApi, at: usize, fault: Fault) -> bool {
    let mut done = 0;
    for _ in 0..10 {
        fake.take_writes();
        let before = done;
        fake.disturb(move |_, number| {
            let number = before + number;
            (number >= at).then_some(if number == at { fault } else { Fault::Refused(500) })
        });
        let outcome = step(fake).await;
        done += fake.take_writes().len();
        fake.leave_alone();
        the_cluster_follows(fake);
        if outcome.is_err() {
            return true;
        }
    }
    false
}
