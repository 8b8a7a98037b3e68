//! Blogs whose objects match their plan, so that a status change needs no second comparison.
//!
//! Most reconciles of a new blog are status changes, since its pods start one after the other. The cache holds the plan and a
//! fingerprint of each object without its status. So an object that a webhook mutates on admission isn't applied in a loop.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{DefaultHasher, Hash, Hasher},
};

use flaskblog_api::Child;
use kube::{ResourceExt, api::DynamicObject};

use parking_lot::Mutex;

use crate::model::{objects::ByRole, observed::Observed, plan::Plan};

/// Plan and fingerprints, by the uid of the blog.
#[derive(Debug, Default)]
pub struct ConvergedCache(Mutex<HashMap<String, (Plan, Fingerprints)>>);

type Fingerprints = BTreeMap<Child, u64>;

impl ConvergedCache {
    /// Whether these objects were recorded for this plan.
    #[must_use]
    pub fn matches(&self, plan: &Plan, observed: &Observed) -> bool {
        let all = self.0.lock();
        all.get(&plan.id.uid)
            .is_some_and(|(known, prints)| known == plan && *prints == fingerprints(&observed.children))
    }

    /// Records objects that match the plan.
    pub fn record(&self, plan: &Plan, children: &ByRole) {
        self.0.lock().insert(plan.id.uid.clone(), (plan.clone(), fingerprints(children)));
    }

    /// Evicts a blog that is deleted or differs from its plan.
    pub fn forget(&self, uid: &str) {
        self.0.lock().remove(uid);
    }
}

fn fingerprints(children: &ByRole) -> Fingerprints {
    children.iter().map(|(role, object)| (*role, fingerprint(object))).collect()
}

/// Hashes all but the status. Where a kind has a status, the generation counts other changes.
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
