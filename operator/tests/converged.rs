//! Changes of a blog's objects that need another comparison with its plan.

#![expect(clippy::unwrap_used, reason = "a failed unwrap in a test is a failed test, also in its helpers")]

use flaskblog_api::Child;
use serde_json::{Value, json};

use operator::{
    cache::converged::ConvergedCache,
    model::{blog_meta::BlogMeta, observed::Observed, plan::Plan, settings::Settings},
    reconcile::validate::validate,
};

fn plan(spec: &Value) -> Plan {
    let blog = json!({"apiVersion": "flaskblog.dev/v1alpha1", "kind": "FlaskBlog", "spec": spec,
        "metadata": {"name": "daily", "namespace": "press", "uid": "1", "generation": 1}});
    let blog = serde_json::from_value(blog).unwrap();
    let id = BlogMeta::of(&blog).unwrap();
    validate(&blog, &id, &Observed::default(), &Settings::for_image("a:1")).unwrap()
}

fn observed(metadata: &Value, status: u8) -> Observed {
    let object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata,
        "status": {"replicas": status}});
    Observed {
        children: [(Child::App, std::sync::Arc::new(serde_json::from_value(object).unwrap()))].into(),
        ..Observed::default()
    }
}

#[test]
fn another_status_is_no_difference_and_everything_else_is_one() {
    let settled = ConvergedCache::default();
    let known = json!({"name": "daily", "uid": "a", "generation": 3, "resourceVersion": "7"});
    let with = |key: &str, value: Value| {
        let mut metadata = known.clone();
        metadata[key] = value;
        observed(&metadata, 1)
    };
    let empty = plan(&json!({}));
    assert!(!settled.matches(&empty, &observed(&known, 1)));
    settled.record(&empty, &observed(&known, 1).children);
    assert!(settled.matches(&empty, &observed(&known, 2)));
    assert!(settled.matches(&empty, &with("resourceVersion", json!("8"))), "a status was written");
    for (key, value) in [
        ("uid", json!("b")),
        ("generation", json!(4)),
        ("labels", json!({"a": "b"})),
        ("annotations", json!({"a": "b"})),
        ("deletionTimestamp", json!("2026-11-25T12:00:00Z")),
        ("ownerReferences", json!([{"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": "y"}])),
    ] {
        assert!(!settled.matches(&empty, &with(key, value)), "{key}");
    }
    assert!(!settled.matches(&plan(&json!({"replicas": 3})), &observed(&known, 1)));
    assert!(!settled.matches(&empty, &Observed::default()), "it is gone");
    settled.forget("1");
    assert!(!settled.matches(&empty, &observed(&known, 1)));
}

#[test]
fn of_a_kind_without_generations_any_change_counts() {
    let settled = ConvergedCache::default();
    let version = |version: &str| observed(&json!({"name": "daily", "resourceVersion": version}), 1);
    settled.record(&plan(&json!({})), &version("7").children);
    assert!(settled.matches(&plan(&json!({})), &version("7")));
    assert!(!settled.matches(&plan(&json!({})), &version("8")));
}
