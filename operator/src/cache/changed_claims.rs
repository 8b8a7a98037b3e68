//! Watch events of PVCs: which PVC the next reconcile reads again.
//!
//! PVCs are not cached: a ready blog needs no data of its PVC until an event reports a change.

use std::collections::HashSet;

use flaskblog_api::{FlaskBlog, children::data_claim};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::{ResourceExt, runtime::reflector::ObjectRef, runtime::watcher::Event};
use parking_lot::Mutex;

use crate::model::blog_meta::BlogMeta;

/// PVCs that have changed since they were read, by namespace and name.
#[derive(Debug, Default)]
pub struct ChangedClaims(Mutex<HashSet<(String, String)>>);

impl ChangedClaims {
    /// Records a watch event and returns whether it triggers a reconcile.
    ///
    /// The first list of a watch repeats what reconciles have read, except for PVCs that are in trouble.
    pub fn observe_event(&self, event: &Event<PersistentVolumeClaim>) -> bool {
        let claim = match event {
            Event::Init | Event::InitDone => return false,
            Event::InitApply(claim) if is_sound(claim) => return false,
            Event::InitApply(claim) | Event::Apply(claim) | Event::Delete(claim) => claim,
        };
        self.0.lock().insert((claim.namespace().unwrap_or_default(), claim.name_any()));
        true
    }

    /// Whether the blog's PVC has changed since the last call.
    pub fn take_changed(&self, id: &BlogMeta) -> bool {
        let mut changed = self.0.lock();
        !changed.is_empty() && changed.remove(&(id.namespace.clone(), data_claim(&id.name)))
    }
}

fn is_sound(claim: &PersistentVolumeClaim) -> bool {
    let phase = claim.status.as_ref().and_then(|status| status.phase.as_deref());
    claim.metadata.deletion_timestamp.is_none() && phase == Some("Bound")
}

/// The blog of a PVC, by its label.
///
/// A retained PVC has no owner reference.
#[must_use]
pub fn blog_of_claim(claim: &PersistentVolumeClaim) -> Option<ObjectRef<FlaskBlog>> {
    let blog = claim.labels().get("app.kubernetes.io/instance")?;
    (claim.name_any() == data_claim(blog))
        .then(|| ObjectRef::new(blog).within(&claim.namespace().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claim(deleting: Option<&str>, phase: &str) -> PersistentVolumeClaim {
        serde_json::from_value(json!({"metadata": {"name": "data-daily-mysql-0", "namespace": "press",
            "deletionTimestamp": deleting, "labels": {"app.kubernetes.io/instance": "daily"}}, "status": {"phase": phase}}))
        .unwrap()
    }

    #[test]
    fn changed_claim_is_reported_once() {
        let id =
            BlogMeta { namespace: "press".into(), name: "daily".into(), uid: "1".into(), generation: None };
        let claims = ChangedClaims::default();
        assert!(!claims.observe_event(&Event::InitApply(claim(None, "Bound"))), "nothing new");
        assert!(!claims.take_changed(&id));
        for event in [
            Event::Apply(claim(None, "Bound")),
            Event::InitApply(claim(None, "Lost")),
            Event::InitApply(claim(Some("2026-01-01T00:00:00Z"), "Bound")),
            Event::Delete(claim(None, "Bound")),
        ] {
            // Each event triggers a reconcile, also while an earlier one is still pending.
            assert!(claims.observe_event(&event) && claims.observe_event(&event), "{event:?}");
            assert!(claims.take_changed(&id) && !claims.take_changed(&id), "{event:?}");
        }
    }

    #[test]
    fn claim_leads_to_its_blog_by_label_and_name() {
        let found = blog_of_claim(&claim(None, "Bound")).unwrap();
        assert_eq!((found.name.as_str(), found.namespace.as_deref()), ("daily", Some("press")));
        let mut other = claim(None, "Bound");
        other.metadata.name = Some("backup".into());
        assert!(blog_of_claim(&other).is_none());
    }
}
