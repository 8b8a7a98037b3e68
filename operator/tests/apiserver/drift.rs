//! Changes by other clients: the operator's fields are restored, others stay, and a converged blog causes no write.

use std::time::Duration;

use flaskblog_api::{Child, OwnedKind, children::MANAGER};
use futures::StreamExt;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, DynamicObject, Patch, PatchParams},
    runtime::watcher::{Config, Event, watcher},
};
use serde_json::{Value, json};

use crate::house::House;

#[tokio::test]
async fn a_deleted_child_of_every_kind_comes_back() {
    let house = House::open("deleted").await;
    house.blog_with_every_child("blog").await;
    house.settled("blog", 2).await;
    for role in Child::ALL {
        let before = house.child("blog", role).await.uid();
        let api = house.objects(role.kind());
        api.delete(&role.name("blog"), &DeleteParams::background().grace_period(0)).await.unwrap();
        house
            .eventually(&format!("{role:?} is back"), || async {
                let object = api.get_opt(&role.name("blog")).await.unwrap()?;
                (object.uid() != before).then_some(())
            })
            .await;
    }
}

#[tokio::test]
async fn a_changed_field_of_ours_is_repaired_and_what_others_added_stays() {
    let house = House::open("changed").await;
    house.blog("blog", json!({})).await;
    let patch = json!({
        "metadata": {"labels": {"team": "press", "app.kubernetes.io/part-of": "stolen"}, "annotations": {"note": "theirs"}},
        "spec": {"replicas": 7, "template": {"metadata": {"annotations": {"restarted": "now"}}}},
    });
    let deployments = house.objects(Child::App.kind());
    deployments.patch("blog", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    let repaired = house
        .eventually("the Deployment is repaired", || async {
            let object = deployments.get("blog").await.unwrap();
            (object.data["spec"]["replicas"] == 2).then_some(object)
        })
        .await;
    assert_eq!(repaired.labels()["app.kubernetes.io/part-of"], "flaskblog");
    assert_eq!(repaired.labels()["team"], "press");
    assert_eq!(repaired.annotations()["note"], "theirs");
    assert_eq!(repaired.data["spec"]["template"]["metadata"]["annotations"]["restarted"], "now");
}

/// Ports are keyed by number.
///
/// An apply alone would add a second one, which the API server refuses as a duplicate name.
#[tokio::test]
async fn a_changed_port_number_is_repaired_and_the_node_port_stays() {
    let house = House::open("ports").await;
    house.blog("blog", json!({})).await;
    let services = house.objects(Child::AppService.kind());
    let port = |object: &kube::api::DynamicObject| object.data["spec"]["ports"][0].clone();
    let before = port(&house.child("blog", Child::AppService).await);
    for fields in [&[("port", json!(5001))][..], &[("port", json!(3)), ("name", json!("garbage"))]] {
        let replace = |(field, value): &(&str, Value)| json!({"op": "replace", "path": format!("/spec/ports/0/{field}"), "value": value});
        let patch = fields.iter().map(replace).collect::<Value>();
        let patch: Patch<()> = Patch::Json(serde_json::from_value(patch).unwrap());
        services.patch("blog", &PatchParams::default(), &patch).await.unwrap();
        house
            .eventually("the port is 5000 again", || async {
                let now = services.get("blog").await.unwrap();
                let ports = now.data["spec"]["ports"].as_array().unwrap().len();
                (port(&now) == before && ports == 1).then_some(())
            })
            .await;
    }
}

#[tokio::test]
async fn a_field_that_the_spec_no_longer_names_loses_its_effect() {
    let house = House::open("removed").await;
    // One of the first 86 ports, which the API server assigns only on request (KEP-3668).
    let spec = json!({"service": {"nodePort": 30077}, "resources": {"limits": {"cpu": "1"}}});
    house.blog("blog", spec).await;
    house.apply("blog", json!({"service": {"type": "ClusterIP"}})).await.unwrap();
    house
        .eventually("limits and node port are gone", || async {
            let deployment = house.child("blog", Child::App).await;
            let service = house.child("blog", Child::AppService).await;
            let limits = &deployment.data["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"];
            (limits["cpu"].is_null() && service.data["spec"]["ports"][0]["nodePort"].is_null()).then_some(())
        })
        .await;
}

#[tokio::test]
async fn every_owned_object_is_applied_by_one_field_manager() {
    let house = House::open("managers").await;
    house.blog_with_every_child("blog").await;
    for role in Child::ALL {
        let object = house.child("blog", role).await;
        let fields = object.managed_fields();
        // A Secret is created by POST, once. Everything else is applied.
        let is_ours = |one: &ManagedFieldsEntry| {
            let operation = one.operation.as_deref();
            // The number of replicas waits for the autoscaler to take it over.
            let waiting = role == Child::App && one.manager.as_deref() == Some("flaskblog-operator-replicas");
            waiting
                || one.manager.as_deref() == Some(MANAGER)
                    && (operation == Some("Apply")
                        || (role.kind() == OwnedKind::Secret && operation == Some("Update")))
        };
        assert!(!fields.is_empty() && fields.iter().all(is_ours), "{role:?}: {fields:?}");
        let applied = fields.iter().any(|one| one.operation.as_deref() == Some("Apply"));
        assert!(applied || role.kind() == OwnedKind::Secret, "{role:?}: {fields:?}");
    }
}

/// Invariant 3: reconciles without a change write nothing.
///
/// The node port stays.
#[tokio::test]
async fn fifty_forced_reconciles_of_a_settled_blog_write_nothing_and_keep_the_node_port() {
    let house = House::open("quiet").await;
    house.blog("blog", json!({"resources": {"requests": {"cpu": "1000m", "memory": "1024Mi"}}})).await;
    house.settled("blog", 2).await;
    let port = |object: kube::api::DynamicObject| object.data["spec"]["ports"][0]["nodePort"].clone();
    let node_port = port(house.child("blog", Child::AppService).await);
    let service_accounts = house.objects(Child::ServiceAccount.kind());
    let quiet = house.versions("blog").await;
    let lines = |prefix: &str| -> Vec<String> {
        house.ctx.metrics.text().lines().filter(|line| line.starts_with(prefix)).map(String::from).collect()
    };
    let writes = || lines("flaskblog_operator_api_writes");
    let reconciles = || -> u64 {
        let lines = lines("flaskblog_operator_reconciles_total{result=\"Ok\"}");
        lines.iter().filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
    };
    let before = writes();
    for number in 0..50 {
        // An unknown annotation on a child triggers a reconcile without a write.
        let patch = json!({"metadata": {"annotations": {"poke": number.to_string()}}});
        let seen = reconciles();
        service_accounts.patch("blog", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
        house
            .eventually("the operator has looked again", || async { (reconciles() > seen).then_some(()) })
            .await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut now = house.versions("blog").await;
    // The test itself changed the ServiceAccount.
    now[1].clone_from(&quiet[1]);
    assert_eq!(now, quiet);
    assert_eq!(port(house.child("blog", Child::AppService).await), node_port);
    assert_eq!(writes(), before);
}

#[tokio::test]
async fn a_restarted_operator_writes_nothing_to_a_settled_blog() {
    let mut house = House::open("restarted").await;
    house.blog("blog", json!({})).await;
    house.settled("blog", 2).await;
    let quiet = house.versions("blog").await;
    house.stop_operator();
    house.start_operator().await;
    house
        .eventually("the new operator has reconciled", || async {
            house.ctx.metrics.text().contains("reconciles_total{result=\"Ok\"}").then_some(())
        })
        .await;
    assert_eq!(house.versions("blog").await, quiet);
    assert!(!house.ctx.metrics.text().contains("api_writes_total{"), "{}", house.ctx.metrics.text());
}

/// Another client overwrites the status once, then at every change.
#[tokio::test]
async fn an_overwritten_status_is_written_again_without_a_loop() {
    let house = House::with_settled_blog("overwritten").await;
    let blogs = house.blogs();
    let overwrite = json!({"status": {"replicas": 7, "conditions": []}});
    let overwrite = Patch::Merge(overwrite);
    let is_right = || async {
        let status = blogs.get("blog").await.unwrap().status.unwrap();
        (status.replicas == 2 && status.conditions.len() >= 6).then_some(())
    };
    blogs.patch_status("blog", &PatchParams::default(), &overwrite).await.unwrap();
    house.eventually("the status is right again", is_right).await;
    let managed = blogs.get("blog").await.unwrap().metadata.managed_fields.unwrap();
    let ours = |entry: &ManagedFieldsEntry| {
        entry.manager.as_deref() == Some(MANAGER) && entry.subresource.as_deref() == Some("status")
    };
    assert!(managed.iter().any(ours), "{managed:#?}");
    let writes = |text: String| -> u64 {
        let line = text.lines().find(|line| line.contains("verb=\"status\"")).unwrap().to_owned();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    let before = writes(house.ctx.metrics.text());
    for _ in 0..20 {
        blogs.patch_status("blog", &PatchParams::default(), &overwrite).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let repairs = writes(house.ctx.metrics.text()) - before;
    assert!((1..=5).contains(&repairs), "{repairs} writes");
}

/// A client that reverts a label at every change of the Service.
async fn set_back(services: Api<DynamicObject>) {
    let theirs = json!({"metadata": {"labels": {"app.kubernetes.io/part-of": "theirs"}}});
    let params = PatchParams { field_manager: Some("policy".into()), ..PatchParams::default() };
    let mut changes = watcher(services.clone(), Config::default().fields("metadata.name=blog")).boxed();
    while let Some(event) = changes.next().await {
        if matches!(event, Ok(Event::InitApply(_) | Event::Apply(_))) {
            let _ = services.patch("blog", &params, &Patch::Merge(theirs.clone())).await;
        }
    }
}

#[tokio::test]
async fn a_client_that_reverts_every_write_is_named_without_a_storm() {
    let house = House::with_settled_blog("contested").await;
    let reverting = tokio::spawn(set_back(house.objects(Child::AppService.kind())));
    let message = house.condition("blog", "Degraded", "True", "Contested").await;
    let start = "policy keeps changing metadata.labels.app.kubernetes.io/part-of of Service blog";
    assert!(message.starts_with(start), "{message}");
    let applies = || -> u64 {
        let text = house.ctx.metrics.text();
        let line =
            text.lines().find(|line| line.contains("verb=\"apply\",kind=\"Service\"")).unwrap().to_owned();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    let before = applies();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(applies(), before, "it is held for twenty seconds");
    assert_eq!(house.condition("blog", "Ready", "True", "Ready").await, "2 of 2 replicas serve");
    reverting.abort();
}

/// Fields of the operator's merge patch are removed with the spec, too.
#[tokio::test]
async fn a_field_that_a_reset_wrote_goes_with_the_spec() {
    let mut house = House::with_settled_blog("reset").await;
    house.stop_operator();
    let deployments = house.objects(Child::App.kind());
    let port = "/spec/template/spec/containers/0/ports/0/containerPort";
    let patch = json!([{"op": "replace", "path": port, "value": 5001}]);
    let patch: Patch<()> = Patch::Json(serde_json::from_value(patch).unwrap());
    deployments.patch("blog", &PatchParams::default(), &patch).await.unwrap();
    house.apply("blog", json!({"podTemplate": {"nodeSelector": {"disk": "ssd"}}})).await.unwrap();
    house.start_operator().await;
    let selector =
        |object: &kube::api::DynamicObject| object.data["spec"]["template"]["spec"]["nodeSelector"].clone();
    house
        .eventually("port and node selector are as wanted and applied", || async {
            let object = deployments.get("blog").await.unwrap();
            let right = object.data.pointer(port) == Some(&json!(5000)) && selector(&object)["disk"] == "ssd";
            (right && !holds_by_update(&object)).then_some(())
        })
        .await;
    house.apply("blog", json!({})).await.unwrap();
    house
        .eventually("the node selector is gone", || async {
            selector(&deployments.get("blog").await.unwrap()).is_null().then_some(())
        })
        .await;
}

#[tokio::test]
async fn a_field_that_was_once_updated_goes_after_a_restart() {
    let mut house = House::with_settled_blog("updated").await;
    house.stop_operator();
    let deployments = house.objects(Child::App.kind());
    let patch = json!({"spec": {"template": {"spec": {"nodeSelector": {"disk": "ssd"}}}}});
    let params = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
    deployments.patch("blog", &params, &Patch::Merge(patch)).await.unwrap();
    house.start_operator().await;
    let repaired = house
        .eventually("the node selector is gone", || async {
            let object = deployments.get("blog").await.unwrap();
            object.data["spec"]["template"]["spec"]["nodeSelector"].is_null().then_some(object)
        })
        .await;
    assert!(!holds_by_update(&repaired), "{:#?}", repaired.managed_fields());
}

fn holds_by_update(object: &kube::api::DynamicObject) -> bool {
    operator::model::managed_fields::holds_by_update(Child::App.kind(), object)
}
