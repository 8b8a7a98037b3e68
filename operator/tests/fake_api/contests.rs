//! Contested objects, and blogs that don't become ready.

use kube::runtime::{controller::Action, watcher::Event};
use operator::context::Context;

use super::*;

const SERVICE: &str = "/api/v1/namespaces/press/services/daily";
const AUTOSCALERS: &str = "/apis/autoscaling/v2/namespaces/press/horizontalpodautoscalers";

/// Reconciles after each of several equal changes by another client.
///
/// Returns the writes.
async fn contested(fake: &FakeApi, ctx: &Arc<Context>, path: &str, change: fn(&mut Value)) -> Vec<String> {
    fake.take_writes();
    for _ in 0..20 {
        fake.edit(path, change);
        look(fake, ctx).await;
    }
    fake.take_writes().into_iter().filter(|line| !line.contains("flaskblogs")).collect()
}

/// A blog that serves.
async fn ready() -> (FakeApi, Arc<Context>) {
    let fake = fake_with(json!({}));
    let ctx = context(&fake);
    look(&fake, &ctx).await;
    workloads_become_ready(&fake, 2);
    look(&fake, &ctx).await;
    (fake, ctx)
}

fn change_selector(service: &mut Value) {
    service["spec"]["selector"]["app.kubernetes.io/name"] = json!("theirs");
    let generation = service["metadata"]["generation"].as_i64().unwrap_or(0);
    service["metadata"]["generation"] = json!(generation + 1);
}

#[tokio::test]
async fn a_client_that_reverts_a_label_is_named_and_gets_no_storm() {
    let (fake, ctx) = ready().await;
    let writes = contested(&fake, &ctx, SERVICE, |service| {
        service["metadata"]["labels"]["app.kubernetes.io/part-of"] = json!("theirs");
        service["metadata"]["managedFields"] = json!([{"manager": "policy-controller", "operation": "Update",
            "fieldsV1": {"f:metadata": {"f:labels": {"f:app.kubernetes.io/part-of": {}}}}}]);
    })
    .await;
    // The first of four was the creation.
    assert_eq!(writes, ["PATCH services/daily"; 3]);
    let told = condition(&fake, "Degraded");
    assert_eq!((&told["status"], &told["reason"]), (&json!("True"), &json!("Contested")));
    let message = told["message"].as_str().unwrap();
    let start = "policy-controller keeps changing metadata.labels.app.kubernetes.io/part-of of Service daily";
    assert!(
        message.starts_with(start) && message.contains("kubectl get services daily --namespace press"),
        "{message}"
    );
    assert_eq!(condition(&fake, "Ready")["status"], "True", "the blog serves");
    // Another spec is written at once.
    fake.edit(BLOG, |blog| blog["spec"]["service"] = json!({"port": 80}));
    look(&fake, &ctx).await;
    assert!(fake.take_writes().contains(&"PATCH services/daily".to_owned()));
}

/// The Service may select no pods until the other client stops.
#[tokio::test]
async fn contested_selector_of_the_service_ends_ready() {
    let (fake, ctx) = ready().await;
    contested(&fake, &ctx, SERVICE, change_selector).await;
    let ready = condition(&fake, "Ready");
    assert_eq!((&ready["status"], &ready["reason"]), (&json!("False"), &json!("Contested")));
    assert_eq!(ready["message"], condition(&fake, "Degraded")["message"]);
}

/// A contest begins on a label, so `Ready` holds, and goes on to the spec without a write in between.
#[tokio::test]
async fn contest_that_goes_on_to_the_selector_ends_ready() {
    let (fake, ctx) = ready().await;
    contested(&fake, &ctx, SERVICE, |service| {
        service["metadata"]["labels"]["app.kubernetes.io/part-of"] = json!("theirs");
    })
    .await;
    assert_eq!(condition(&fake, "Ready")["status"], "True");
    fake.edit(SERVICE, change_selector);
    look(&fake, &ctx).await;
    let ready = condition(&fake, "Ready");
    assert_eq!((&ready["status"], &ready["reason"]), (&json!("False"), &json!("Contested")));
    assert!(ready["message"].as_str().unwrap().contains("spec.selector"), "{ready}");
    fake.take_reads();
    look(&fake, &ctx).await;
    let reads = fake.take_reads().into_iter().filter(|read| read == "services/daily").count();
    assert_eq!(reads, 1, "an unchanged object is explained again");
}

#[tokio::test]
async fn client_that_creates_what_is_deleted_is_named() {
    let path = "/apis/networking.k8s.io/v1/namespaces/press/ingresses/daily";
    let fake = fake_with(json!({"ingress": {"host": "a.example"}}));
    let ctx = context(&fake);
    look(&fake, &ctx).await;
    let mut ingress = fake.get(path).unwrap();
    ingress["metadata"]["managedFields"] =
        json!([{"manager": "backup-tool", "operation": "Update", "fieldsV1": {}}]);
    fake.edit(BLOG, |blog| {
        blog["spec"] = json!({});
        blog["metadata"]["generation"] = 2.into();
    });
    look(&fake, &ctx).await;
    workloads_become_ready(&fake, 2);
    fake.take_writes();
    for _ in 0..20 {
        fake.put(path, ingress.clone());
        // The watch delivers it.
        ctx.children.insert(OwnedKind::Ingress, &serde_json::from_value(fake.get(path).unwrap()).unwrap());
        look(&fake, &ctx).await;
    }
    let deletions = fake.take_writes().into_iter().filter(|line| line == "DELETE ingresses/daily").count();
    // The first of four came with the spec.
    assert_eq!(deletions, 3);
    let told = condition(&fake, "Degraded");
    assert_eq!((&told["status"], &told["reason"]), (&json!("True"), &json!("Contested")));
    let message = told["message"].as_str().unwrap();
    assert!(message.starts_with("backup-tool keeps creating Ingress daily"), "{message}");
    assert!(message.contains("kubectl get ingresses daily --namespace press"), "{message}");
    assert_eq!(condition(&fake, "Ready")["status"], "True", "the blog serves");
    // A spec that enables it ends the contest.
    fake.edit(BLOG, |blog| blog["spec"] = json!({"ingress": {"host": "b.example"}}));
    look(&fake, &ctx).await;
    assert_eq!(fake.get(path).unwrap()["spec"]["rules"][0]["host"], "b.example");
}

#[tokio::test]
async fn an_autoscaler_of_the_deployment_is_named_with_the_way_out() {
    let fake = fake_with(json!({}));
    let autoscaler = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "mine"},
        "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "daily"}}});
    fake.put(AUTOSCALERS, json!({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": [autoscaler]}));
    let ctx = context(&fake);
    look(&fake, &ctx).await;
    let deployment = format!("{APPS}/deployments/daily");
    let writes = contested(&fake, &ctx, &deployment, |deployment| {
        let generation = deployment["metadata"]["generation"].as_i64().unwrap();
        deployment["metadata"]["generation"] = json!(generation + 1);
        deployment["spec"]["replicas"] = json!(3);
    })
    .await;
    assert_eq!(writes, ["PATCH deployments/daily"; 3]);
    let message = condition(&fake, "Degraded")["message"].as_str().unwrap().to_owned();
    assert!(message.starts_with("HorizontalPodAutoscaler mine scales Deployment daily"), "{message}");
    assert!(message.contains("set spec.autoscaling"), "{message}");
}

#[tokio::test]
async fn a_paused_deployment_goes_on() {
    let fake = fake_with(json!({}));
    step(&fake).await.unwrap();
    let path = format!("{APPS}/deployments/daily");
    fake.edit(&path, |deployment| deployment["spec"]["paused"] = json!(true));
    step(&fake).await.unwrap();
    assert_eq!(fake.get(&path).unwrap()["spec"]["paused"], false);
    // The API server omits false values.
    fake.edit(&path, |deployment| drop(deployment["spec"].as_object_mut().unwrap().remove("paused")));
    fake.take_writes();
    step(&fake).await.unwrap();
    assert_eq!(fake.take_writes(), [""; 0]);
}

/// A blog that isn't ready, and a process whose watches work.
async fn unready() -> (FakeApi, Arc<Context>) {
    let fake = fake_with(json!({}));
    let ctx = context(&fake);
    for kind in OwnedKind::ALL {
        ctx.children.observe_event(kind, None, &Event::InitDone);
    }
    (fake, ctx)
}

/// Requeues as the controller does. Returns the next delay in seconds.
///
/// The periodic reconcile bounds it.
async fn wake_up(fake: &FakeApi, ctx: &Arc<Context>) -> u64 {
    let action = look(fake, ctx).await;
    let is_next = |seconds: &u64| action == Action::requeue(Duration::from_secs(*seconds));
    (1..=120).find(is_next).unwrap_or(ctx.settings.resync.as_secs())
}

#[tokio::test(start_paused = true)]
async fn reconciles_of_a_blog_that_does_not_get_ready_become_rare() {
    let (fake, ctx) = unready().await;
    let (mut now, mut reconciles) = (0, Vec::new());
    while now < 600 {
        fake.take_reads();
        let began = now;
        let next = wake_up(&fake, &ctx).await;
        tokio::time::advance(Duration::from_secs(next)).await;
        now += next;
        let reads = fake.take_reads();
        if reads.iter().any(|read| read.starts_with("persistentvolumeclaims")) {
            reconciles.push(began);
        } else {
            assert_eq!(
                reads,
                ["deployments/daily", "statefulsets/daily-mysql"],
                "no more than their versions"
            );
        }
    }
    assert_eq!(reconciles, [0, 10, 20, 30, 50, 90, 170, 290, 410, 530]);
    fake.edit(BLOG, |blog| blog["spec"]["title"] = json!("New"));
    ctx.pace.reset("press", "daily");
    assert_eq!(wake_up(&fake, &ctx).await, 10, "a change starts over");
}

/// The watches have delivered everything but the last event of the Deployment.
#[tokio::test]
async fn a_lost_event_of_a_child_is_made_good_by_the_fourth_reconcile() {
    let (fake, ctx) = unready().await;
    look(&fake, &ctx).await;
    workloads_become_ready(&fake, 2);
    for _ in 0..2 {
        look(&fake, &ctx).await;
        assert_eq!(condition(&fake, "Ready")["status"], "False");
    }
    look(&fake, &ctx).await;
    assert_eq!(condition(&fake, "Ready")["status"], "True");
}

#[tokio::test(start_paused = true)]
async fn lost_event_is_made_good_in_one_minute_at_any_time() {
    for wake_ups in 0..14 {
        let (fake, ctx) = unready().await;
        let mut next = wake_up(&fake, &ctx).await;
        for _ in 0..wake_ups {
            tokio::time::advance(Duration::from_secs(next)).await;
            next = wake_up(&fake, &ctx).await;
        }
        // The worst moment is right after a read.
        change_status(&fake);
        let mut waited = 0;
        while condition(&fake, "Ready")["status"] == "False" {
            waited += next;
            assert!(waited <= 60, "{waited} s after {wake_ups} wake-ups");
            tokio::time::advance(Duration::from_secs(next)).await;
            next = wake_up(&fake, &ctx).await;
        }
    }
}

/// Changes the stored objects without a watch event.
fn change_status(fake: &FakeApi) {
    workloads_become_ready(fake, 2);
    for path in [format!("{APPS}/deployments/daily"), format!("{APPS}/statefulsets/daily-mysql")] {
        let object = fake.get(&path).unwrap();
        fake.put(&path, object);
    }
}
