//! Fault case 6: only the last spec determines the objects, whatever came before.

use std::collections::BTreeMap;

use flaskblog_api::Child;
use serde_json::{Value, json};

use crate::house::House;

/// Specs that set what others omit. Hibernation is left out, since its steps wait for controllers and none runs here.
fn specs() -> Vec<Value> {
    vec![
        json!({"replicas": 4, "title": "One", "resources": {"limits": {"cpu": "1", "memory": "128Mi"}}}),
        json!({"autoscaling": {"minReplicas": 3, "maxReplicas": 6}, "registration": "Closed"}),
        json!({"podTemplate": {"nodeSelector": {"disk": "ssd"}, "labels": {"team": "press"}, "annotations": {"a": "b"},
            "tolerations": [{"key": "k", "operator": "Exists", "effect": "NoSchedule"}],
            "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 1, "preference": {"matchExpressions": [{"key": "x", "operator": "Exists"}]}}]}}}}),
        json!({"ingress": {"host": "a.example.org", "tlsSecretName": "t"}, "markup": "Markdown"}),
        json!({"monitoring": {"serviceMonitor": true, "prometheusRule": true, "dashboard": true, "labels": {"release": "p"}}}),
        json!({"monitoring": {"serviceMonitor": true}, "replicas": 1}),
        json!({"networkPolicy": {"enabled": false}, "service": {"type": "ClusterIP", "port": 80}}),
        json!({"service": {"type": "LoadBalancer"}, "replicas": 1}),
        json!({"database": {"managed": {"config": {"sql_mode": ""}, "resources": {"limits": {"memory": "2Gi"}}}}}),
        json!({"database": {"managed": {"recommendResources": true}}}),
        json!({"image": "mine:1", "imagePullPolicy": "Always", "deletionPolicy": "Delete"}),
        json!({}),
    ]
}

/// The specs of all children, without the cluster's choices.
async fn shape(house: &House, blog: &str) -> BTreeMap<String, Value> {
    let mut shape = BTreeMap::new();
    for role in Child::ALL {
        let Some(object) = house.child_now(blog, role).await else { continue };
        let mut spec = object.data["spec"].clone();
        if role == Child::App && house.child_now(blog, Child::Autoscaler).await.is_some() {
            // The autoscaler's field, whatever its value was before.
            spec.as_object_mut().unwrap().remove("replicas");
        }
        if role.kind() == flaskblog_api::OwnedKind::Service {
            for chosen in ["clusterIP", "clusterIPs", "healthCheckNodePort"] {
                spec.as_object_mut().unwrap().remove(chosen);
            }
            for port in spec["ports"].as_array_mut().unwrap() {
                port.as_object_mut().unwrap().remove("nodePort");
            }
        }
        let owned = object.metadata.owner_references.unwrap_or_default().len();
        let text = json!({"spec": spec, "owners": owned}).to_string().replace(blog, "BLOG");
        shape.insert(format!("{role:?}"), serde_json::from_str(&text).unwrap());
    }
    shape
}

/// Waits until the last generation is reported, the furthest state without controllers.
async fn reported(house: &House, blog: &str) {
    house
        .eventually("the newest spec is reported", || async {
            let object = house.blogs().get(blog).await.unwrap();
            let seen = object.status?.observed_generation;
            (seen == object.metadata.generation).then_some(())
        })
        .await;
}

#[tokio::test]
async fn after_any_sequence_of_specs_the_objects_are_those_of_a_fresh_blog_with_the_last_one() {
    let house = House::open("sequences").await;
    let specs = specs();
    // A fixed walk through pairs of specs, so that a failure is reproducible.
    let mut seed = 7_usize;
    house.apply("walker", json!({})).await.unwrap();
    for round in 0..12 {
        for _ in 0..3 {
            seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
            let spec = specs[(seed >> 8) % specs.len()].clone();
            house.apply("walker", spec).await.unwrap();
            if seed.is_multiple_of(2) {
                reported(&house, "walker").await;
            }
        }
        let last = specs[round % specs.len()].clone();
        house.apply("walker", last.clone()).await.unwrap();
        let fresh = format!("fresh{round}x");
        house.apply(&fresh, last.clone()).await.unwrap();
        reported(&house, "walker").await;
        reported(&house, &fresh).await;
        let (walked, made) = (shape(&house, "walker").await, shape(&house, &fresh).await);
        for (role, wanted) in &made {
            assert_eq!(walked.get(role), Some(wanted), "round {round}, {role}, after {last}");
        }
        assert_eq!(walked.len(), made.len(), "round {round}: something is left over after {last}");
    }
}
