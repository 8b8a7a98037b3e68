//! Whether MySQL's pod would still mount the volume with the data (no client required).

use flaskblog_api::{
    Child, FlaskBlog,
    children::{ALLOW_EMPTY, DATA_VOLUME, SERVED_IMAGE, data_claim},
};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;

use crate::model::{
    blog_meta::BlogMeta,
    error::Invalid,
    kubectl::{allow_empty, bind_volume, keep_volume},
    observed::Observed,
};

/// The volume of this blog's data, as the database's Secret records it.
#[must_use]
pub fn recorded_volume(observed: &Observed) -> Option<&String> {
    observed.children.get(&Child::DatabaseSecret)?.annotations().get(DATA_VOLUME)
}

/// The volume that a PVC is bound to.
#[must_use]
pub fn bound_volume(claim: &PersistentVolumeClaim) -> Option<&String> {
    claim.spec.as_ref()?.volume_name.as_ref().filter(|volume| !volume.is_empty())
}

/// Whether the record of the data's volume is removed.
///
/// MySQL may start on an empty volume then.
///
/// Either the user allows it, or a new FlaskBlog finds neither a PVC nor a StatefulSet, so there is no data to protect.
#[must_use]
pub fn forgets_volume(blog: &FlaskBlog, observed: &Observed) -> bool {
    let Some(volume) = recorded_volume(observed) else { return false };
    let has_served = blog.status.as_ref().is_some_and(|status| status.database_version.is_some());
    let is_new = !has_served
        && observed.claim_was_read
        && observed.data_claim.is_none()
        && !observed.children.contains_key(&Child::Database);
    is_new || blog.annotations().get(ALLOW_EMPTY) == Some(volume)
}

/// Refuses every write to MySQL that could lose its data.
pub(super) fn check_volume(blog: &FlaskBlog, id: &BlogMeta, observed: &Observed) -> Result<(), Invalid> {
    if let Some(claim) = &observed.data_claim
        && claim.metadata.deletion_timestamp.is_some()
    {
        return Err(Invalid::VolumeDeleting {
            claim: data_claim(&id.name),
            keep: keep_volume(id, bound_volume(claim).map_or("VOLUME", String::as_str)),
            volume: bound_volume(claim).cloned().unwrap_or_default(),
        });
    }
    let Some(recorded) = recorded_volume(observed) else { return check_phase(id, observed) };
    if !observed.claim_was_read || forgets_volume(blog, observed) {
        return Ok(());
    }
    match &observed.data_claim {
        None => Err(lost(id, recorded, "its PersistentVolumeClaim is gone".to_owned(), false)),
        Some(claim) if is_lost(claim) => Err(lost(id, recorded, "its claim has lost it".to_owned(), true)),
        Some(claim) if bound_volume(claim) == Some(recorded) => Ok(()),
        // The PVC has served this blog, so the Secret's record is wrong, and MySQL's pod refuses an empty volume. Advice to
        // delete this PVC would lose the data.
        Some(claim) if claim.annotations().contains_key(SERVED_IMAGE) => Ok(()),
        // MySQL's pod refuses an empty volume, so a server that accepts connections has data on the new one.
        Some(_) if database_answers(observed) => Ok(()),
        Some(claim) => {
            let other = bound_volume(claim).map_or("no volume", String::as_str);
            Err(lost(id, recorded, format!("its claim is a new one, bound to {other}"), true))
        }
    }
}

/// Refuses a PVC that lost its volume before MySQL served.
fn check_phase(id: &BlogMeta, observed: &Observed) -> Result<(), Invalid> {
    match &observed.data_claim {
        Some(claim) if is_lost(claim) => {
            let volume = bound_volume(claim).cloned().unwrap_or_default();
            Err(lost(id, &volume, "its claim has lost it".to_owned(), true))
        }
        _ => Ok(()),
    }
}

fn is_lost(claim: &PersistentVolumeClaim) -> bool {
    claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Lost")
}

fn database_answers(observed: &Observed) -> bool {
    let set = observed.children.get(&Child::Database);
    set.is_some_and(|set| set.data["status"]["readyReplicas"].as_i64().unwrap_or(0) > 0)
}

fn lost(id: &BlogMeta, volume: &str, found: String, has_claim: bool) -> Invalid {
    Invalid::VolumeLost {
        volume: volume.to_owned(),
        found,
        bind: bind_volume(id, volume, has_claim),
        discard: allow_empty(id, volume),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;

    fn blog(served: bool, allowed: &str) -> FlaskBlog {
        let version = served.then_some("9.7");
        serde_json::from_value(json!({"apiVersion": "flaskblog.dev/v1alpha1", "kind": "FlaskBlog", "spec": {},
            "metadata": {"name": "daily", "namespace": "press", "uid": "1", "annotations": {ALLOW_EMPTY: allowed}},
            "status": {"databaseVersion": version}}))
        .unwrap()
    }

    fn observed(recorded: Option<&str>, claim: Option<Value>, ready: i64) -> Observed {
        let mut secret = json!({"metadata": {"name": "daily-mysql"}});
        if let Some(volume) = recorded {
            secret["metadata"]["annotations"] = json!({DATA_VOLUME: volume});
        }
        let set = json!({"metadata": {"name": "daily-mysql"}, "status": {"readyReplicas": ready}});
        let children = [(Child::DatabaseSecret, secret), (Child::Database, set)]
            .map(|(role, object)| (role, Arc::new(serde_json::from_value(object).unwrap())));
        Observed {
            children: children.into(),
            data_claim: claim.map(|claim| serde_json::from_value(claim).unwrap()),
            claim_was_read: true,
            ..Observed::default()
        }
    }

    fn claim(volume: &str, phase: &str) -> Value {
        json!({"metadata": {"name": "data-daily-mysql-0"}, "spec": {"volumeName": volume}, "status": {"phase": phase}})
    }

    fn verdict(blog: &FlaskBlog, observed: &Observed) -> Option<String> {
        let id = BlogMeta::of(blog).unwrap();
        check_volume(blog, &id, observed).err().map(|why| why.to_string())
    }

    #[test]
    fn claim_being_deleted_names_the_reclaim_policy() {
        for recorded in [None, Some("pv-1")] {
            let mut deleting = claim("pv-1", "Bound");
            deleting["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
            let message = verdict(&blog(true, ""), &observed(recorded, Some(deleting), 1)).unwrap();
            assert!(message.contains("kubectl patch pv pv-1") && message.contains("Retain"), "{message}");
            assert!(
                message.contains("kubectl scale statefulset daily-mysql -n press --replicas=0"),
                "{message}"
            );
        }
    }

    #[test]
    fn volume_that_is_gone_or_replaced_is_refused_with_commands() {
        for claim in
            [None, Some(claim("pv-2", "Bound")), Some(claim("", "Pending")), Some(claim("pv-1", "Lost"))]
        {
            let message = verdict(&blog(true, ""), &observed(Some("pv-1"), claim.clone(), 0)).unwrap();
            assert!(message.contains("kubectl patch pv pv-1 --type=json"), "{message}");
            assert_eq!(
                message.contains("kubectl delete pvc data-daily-mysql-0"),
                claim.is_some(),
                "{message}"
            );
        }
    }

    #[test]
    fn volume_of_the_record_or_of_an_answering_server_is_accepted() {
        let expected = observed(Some("pv-1"), Some(claim("pv-1", "Bound")), 0);
        assert_eq!(verdict(&blog(true, ""), &expected), None);
        let copied = observed(Some("pv-1"), Some(claim("pv-2", "Bound")), 1);
        assert_eq!(verdict(&blog(true, ""), &copied), None);
        let never_served = observed(None, Some(claim("", "Pending")), 0);
        assert_eq!(verdict(&blog(false, ""), &never_served), None);
    }

    /// Advice to delete this PVC would lose the data.
    ///
    /// The record may have been overwritten.
    #[test]
    fn claim_that_has_served_outweighs_another_record() {
        let mut served = claim("pv-1", "Bound");
        served["metadata"]["annotations"] = json!({SERVED_IMAGE: "mysql:9.7"});
        assert_eq!(verdict(&blog(true, ""), &observed(Some("garbage"), Some(served), 0)), None);
    }

    #[test]
    fn empty_database_is_allowed_for_the_named_volume_only() {
        let lost = observed(Some("pv-1"), Some(claim("pv-2", "Bound")), 0);
        assert!(verdict(&blog(true, "pv-0"), &lost).is_some());
        assert_eq!(verdict(&blog(true, "pv-1"), &lost), None);
        assert!(forgets_volume(&blog(true, "pv-1"), &lost));
    }

    #[test]
    fn new_blog_without_claim_and_statefulset_starts_empty() {
        let mut nothing = observed(Some("pv-1"), None, 0);
        assert!(!forgets_volume(&blog(false, ""), &nothing), "its StatefulSet is there");
        nothing.children.remove(&Child::Database);
        assert!(forgets_volume(&blog(false, ""), &nothing));
        assert!(!forgets_volume(&blog(true, ""), &nothing), "it has served");
        nothing.claim_was_read = false;
        assert!(!forgets_volume(&blog(false, ""), &nothing));
    }
}
