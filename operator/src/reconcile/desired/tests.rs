use flaskblog_api::FlaskBlog;
use serde_json::{Value, json};

use super::*;
use crate::{
    model::{observed::Observed, settings::Settings},
    reconcile::validate::validate,
};

/// The plan for a spec, made by the real validation.
pub(super) fn plan(spec: Value) -> Plan {
    let blog: FlaskBlog = serde_json::from_value(json!({
        "apiVersion": "flaskblog.dev/v1alpha1", "kind": "FlaskBlog", "spec": spec,
        "metadata": {"name": "daily", "namespace": "press", "uid": "blog-uid", "generation": 1},
    }))
    .unwrap();
    let settings = Settings::for_image("flaskblog/blog-app:release");
    validate(&blog, &BlogMeta::of(&blog).unwrap(), &Observed::default(), &settings).unwrap()
}

fn objects(spec: Value) -> BTreeMap<Child, Value> {
    desired(&plan(spec)).iter().map(|(role, object)| (role, value(object))).collect()
}

#[test]
fn every_object_of_an_empty_spec_is_as_reviewed() {
    let all: BTreeMap<String, Value> =
        objects(json!({})).into_iter().map(|(role, object)| (format!("{role:?}"), object)).collect();
    insta::assert_yaml_snapshot!("empty_spec", all);
}

#[test]
fn every_field_of_the_spec_reaches_an_object() {
    let all = objects(json!({
        "replicas": 5, "image": "mine:1", "imagePullPolicy": "Always", "title": "Daily",
        "service": {"type": "LoadBalancer", "port": 80, "nodePort": 30500},
        "resources": {"requests": {"cpu": 1}, "limits": {"memory": "1Gi"}},
        "database": {"managed": {"image": "mysql:8.4", "storage": {"size": "5Gi", "storageClassName": "fast"},
            "resources": {"limits": {"memory": "2Gi"}}}},
        "deletionPolicy": "Delete",
    }));
    let app = &all[&Child::App]["spec"];
    let container = &app["template"]["spec"]["containers"][0];
    assert_eq!(app["replicas"], 5);
    assert_eq!((&container["image"], &container["imagePullPolicy"]), (&json!("mine:1"), &json!("Always")));
    assert_eq!(container["resources"], json!({"requests": {"cpu": "1"}, "limits": {"memory": "1Gi"}}));
    assert!(container["env"].as_array().unwrap().contains(&json!({"name": "BLOG_TITLE", "value": "Daily"})));
    let service = &all[&Child::AppService]["spec"];
    assert_eq!(service["type"], "LoadBalancer");
    assert_eq!((&service["ports"][0]["port"], &service["ports"][0]["nodePort"]), (&json!(80), &json!(30500)));
    let database = &all[&Child::Database]["spec"];
    assert_eq!(database["template"]["spec"]["containers"][0]["image"], "mysql:8.4");
    assert_eq!(
        database["template"]["spec"]["containers"][0]["resources"],
        json!({"limits": {"memory": "2Gi"}})
    );
    let claim = &database["volumeClaimTemplates"][0]["spec"];
    assert_eq!(claim["resources"]["requests"]["storage"], "5Gi");
    assert_eq!(claim["storageClassName"], "fast");
    assert_eq!(database["persistentVolumeClaimRetentionPolicy"]["whenDeleted"], "Retain");
    assert_eq!(all[&Child::DatabaseSecret]["metadata"]["ownerReferences"][0]["uid"], "blog-uid");
}

#[test]
fn fields_that_come_and_go_reach_their_objects() {
    let all = objects(json!({
        "registration": "Closed", "markup": "Markdown", "hibernate": false, "networkPolicy": {"enabled": false},
        "ingress": {"host": "blog.example.org", "tlsSecretName": "t", "annotations": {"a": "b"}},
        "autoscaling": {"minReplicas": 1, "maxReplicas": 4, "targetCPUUtilizationPercentage": 50},
        "podTemplate": {"labels": {"team": "press"}, "annotations": {"note": "x"}, "nodeSelector": {"disk": "ssd"},
            "tolerations": [{"key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 3}],
            "affinity": {"podAntiAffinity": {}}},
        "database": {"managed": {"config": {"max_connections": "7"}}},
    }));
    let template = &all[&Child::App]["spec"]["template"];
    let container = &template["spec"]["containers"][0];
    for (name, value) in [
        ("BLOG_REGISTRATION", "closed"),
        ("BLOG_MARKUP", "markdown"),
        ("BLOG_ADDRESS", "https://blog.example.org"),
    ] {
        let variables = container["env"].as_array().unwrap();
        assert!(variables.contains(&json!({"name": name, "value": value})), "{name}: {container}");
    }
    assert_eq!(template["metadata"]["labels"]["team"], "press");
    assert_eq!(template["metadata"]["labels"]["app.kubernetes.io/name"], "flaskblog");
    assert_eq!(template["metadata"]["annotations"]["note"], "x");
    assert_eq!(template["spec"]["nodeSelector"]["disk"], "ssd");
    let toleration = json!({"key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 3});
    assert_eq!(template["spec"]["tolerations"][0], toleration);
    assert_eq!(template["spec"]["affinity"], json!({"podAntiAffinity": {}}));
    assert!(all[&Child::App]["spec"].get("replicas").is_none(), "the autoscaler's");
    assert_eq!(all[&Child::Autoscaler]["spec"]["maxReplicas"], 4);
    assert_eq!(all[&Child::Ingress]["metadata"]["annotations"]["a"], "b");
    assert!(
        all.keys()
            .all(|role| !matches!(role, Child::AppPolicy | Child::DatabasePolicy | Child::DisruptionBudget))
    );
    let arguments =
        all[&Child::Database]["spec"]["template"]["spec"]["containers"][0]["args"].as_array().unwrap();
    assert!(arguments.contains(&json!("--max-connections=7")), "{arguments:?}");
}

#[test]
fn monitoring_gives_each_of_its_objects_by_its_own_field() {
    let made = |monitoring: Value| -> Vec<Child> {
        let of_monitoring = [Child::Dashboard, Child::Monitor, Child::Alerts];
        objects(json!({"monitoring": monitoring}))
            .into_keys()
            .filter(|role| of_monitoring.contains(role))
            .collect()
    };
    assert_eq!(made(json!({})), []);
    assert_eq!(made(json!({"dashboard": true, "labels": null})), [Child::Dashboard]);
    assert_eq!(made(json!({"serviceMonitor": true, "dashboard": null})), [Child::Monitor]);
    assert_eq!(made(json!({"prometheusRule": true})), [Child::Alerts]);
    let asleep = objects(json!({"monitoring": {"prometheusRule": true}, "replicas": 0}));
    assert!(!asleep.contains_key(&Child::Alerts), "a blog without replicas wakes nobody");
}

#[test]
fn every_object_of_monitoring_is_as_reviewed() {
    let monitoring = json!({"serviceMonitor": true, "prometheusRule": true, "dashboard": true, "labels": {"release": "p"}});
    let all = objects(json!({"monitoring": monitoring}));
    let all: BTreeMap<String, &Value> = [Child::Dashboard, Child::Monitor, Child::Alerts]
        .iter()
        .map(|role| (format!("{role:?}"), &all[role]))
        .collect();
    insta::assert_yaml_snapshot!("monitoring", all);
}

#[test]
fn a_recommendation_is_asked_for_by_its_own_field_and_never_applied() {
    assert!(!objects(json!({})).contains_key(&Child::Recommendation));
    let all = objects(json!({"database": {"managed": {"recommendResources": true}}}));
    insta::assert_yaml_snapshot!("recommendation", &all[&Child::Recommendation]);
    let controlled = |role: Child| all[&role]["metadata"]["ownerReferences"][0]["controller"] == true;
    assert!(!controlled(Child::Database), "the recommender looks at nothing below what can be scaled");
    assert!(controlled(Child::App) && controlled(Child::DatabaseService));
}

#[test]
fn a_title_with_dollars_reaches_the_page_as_it_is() {
    let all = objects(json!({"title": "Ca$$h $(BLOG_DATABASE_USER)"}));
    let container = &all[&Child::App]["spec"]["template"]["spec"]["containers"][0];
    let expected = json!({"name": "BLOG_TITLE", "value": "Ca$$$$h $$(BLOG_DATABASE_USER)"});
    assert!(container["env"].as_array().unwrap().contains(&expected), "{container}");
}

#[test]
fn the_node_port_is_named_only_if_the_user_pinned_it() {
    assert!(objects(json!({}))[&Child::AppService]["spec"]["ports"][0].get("nodePort").is_none());
}

#[test]
fn an_equal_plan_gives_equal_objects_and_another_one_another_hash() {
    let hash = |spec: Value| objects(spec)[&Child::App]["metadata"]["annotations"][DESIRED_HASH].clone();
    assert_eq!(objects(json!({})), objects(json!({})));
    assert_ne!(hash(json!({})), hash(json!({"title": "Other"})));
}

#[test]
fn pod_templates_do_not_depend_on_the_operators_version() {
    for (role, object) in objects(json!({})) {
        let template = object["spec"]["template"].to_string();
        assert!(!template.contains(env!("CARGO_PKG_VERSION")), "{role:?} names the version: {template}");
    }
}

#[test]
fn selectors_hold_only_what_never_changes() {
    let all = objects(json!({}));
    for role in [Child::App, Child::Database] {
        let labels = all[&role]["spec"]["selector"]["matchLabels"].as_object().unwrap();
        let keys: Vec<&str> = labels.keys().map(String::as_str).collect();
        assert_eq!(
            keys,
            ["app.kubernetes.io/component", "app.kubernetes.io/instance", "app.kubernetes.io/name"]
        );
    }
}

#[test]
fn generated_secrets_have_the_keys_of_the_contract_and_enough_entropy() {
    let mut numbers = (0..).map(|number: usize| number * 7);
    let mut entropy = |bound: usize| numbers.next().unwrap() % bound;
    let content = secret_content(Child::DatabaseSecret, &mut entropy).unwrap();
    let keys: Vec<&str> = content.0.iter().map(|(key, _)| *key).collect();
    assert_eq!(keys, ["root-password", "username", "password", "database"]);
    assert!(
        content.0.iter().filter(|(key, _)| key.ends_with("password")).all(|(_, value)| value.len() == 32)
    );
    let keys = secret_content(Child::SessionSecret, &mut entropy).unwrap();
    assert_eq!((keys.0[0].0, keys.0[0].1.len(), keys.0[1].0), ("current", 64, "previous"));
    assert!(secret_content(Child::App, &mut entropy).is_none());
}

#[test]
fn hibernating_blog_wants_no_autoscaler() {
    let scaled = json!({"minReplicas": 2, "maxReplicas": 4});
    assert!(objects(json!({"autoscaling": scaled})).contains_key(&Child::Autoscaler));
    let asleep = objects(json!({"autoscaling": scaled, "hibernate": true}));
    assert!(!asleep.contains_key(&Child::Autoscaler));
    assert_eq!(asleep[&Child::App]["spec"]["replicas"], 0);
}
