//! Blogs whose objects match their plan, so that a status change needs no second comparison.
//!
//! Most reconciles of a new blog are such: its pods start one after the other. The cache holds the plan and a fingerprint of
//! each object without its status. An object that a webhook changes on admission is therefore not applied in a loop.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Mutex, MutexGuard, PoisonError},
};

use flaskblog_api::Child;
use kube::{ResourceExt, api::DynamicObject};

use crate::model::{objects::ByRole, observed::Observed, plan::Plan};

/// By the uid of the blog.
#[derive(Debug, Default)]
pub struct ConvergedCache(Mutex<HashMap<String, (Plan, Fingerprints)>>);

type Fingerprints = BTreeMap<Child, u64>;

impl ConvergedCache {
    /// Whether these objects were recorded for this plan.
    #[must_use]
    pub fn matches(&self, plan: &Plan, observed: &Observed) -> bool {
        let all = self.lock();
        all.get(&plan.id.uid)
            .is_some_and(|(known, prints)| known == plan && *prints == fingerprints(&observed.children))
    }

    /// Records objects that match the plan.
    pub fn record(&self, plan: &Plan, children: &ByRole) {
        self.lock().insert(plan.id.uid.clone(), (plan.clone(), fingerprints(children)));
    }

    /// Removes a blog that is gone or differs.
    pub fn forget(&self, uid: &str) {
        self.lock().remove(uid);
    }

    /// A panic while writing leaves a usable map: at worst a blog is compared once more.
    fn lock(&self) -> MutexGuard<'_, HashMap<String, (Plan, Fingerprints)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn fingerprints(children: &ByRole) -> Fingerprints {
    children.iter().map(|(role, object)| (*role, fingerprint(object))).collect()
}

/// Everything but the status. The API server counts changes of the rest as generations, where the kind has a status at all.
fn fingerprint(object: &DynamicObject) -> u64 {
    let meta = &object.metadata;
    let mut hasher = DefaultHasher::new();
    (&meta.uid, &meta.labels, &meta.annotations, meta.generation).hash(&mut hasher);
    meta.deletion_timestamp.is_some().hash(&mut hasher);
    for owner in object.owner_references() {
        (&owner.uid, &owner.name, owner.controller).hash(&mut hasher);
    }
    if meta.generation.is_none() {
        meta.resource_version.hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        model::{blog_meta::BlogMeta, settings::Settings},
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
}
