//! Owner references of the PVC and the Secrets (no client required).

use flaskblog_api::{Child, DeletionPolicy};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde_json::json;

use super::{Action, ObjectPatch, Purpose, Target};
use crate::model::{blog_meta::BlogMeta, observed::Observed};

/// The PVC's desired owners, if they differ (no client required).
///
/// Owners of other managers stay.
#[must_use]
pub fn wanted_owners(
    id: &BlogMeta,
    policy: DeletionPolicy,
    metadata: &ObjectMeta,
) -> Option<Vec<OwnerReference>> {
    let current = metadata.owner_references.clone().unwrap_or_default();
    // The owner of an earlier blog stays, since the garbage collector deletes its dependents.
    let is_ours = |owner: &OwnerReference| owner.kind == "FlaskBlog" && owner.uid == id.uid;
    let mut wanted: Vec<OwnerReference> = current.iter().filter(|owner| !is_ours(owner)).cloned().collect();
    if policy == DeletionPolicy::Delete {
        // Not as controller, since the StatefulSet controller may claim that role.
        wanted.push(OwnerReference { controller: None, ..id.owner_reference() });
    }
    (wanted != current).then_some(wanted)
}

/// Under `Retain`, the removal of the owner references of PVC and Secrets.
///
/// It adds no owner, so it needs no validated plan.
pub(super) fn removed_owners(id: &BlogMeta, policy: DeletionPolicy, observed: &Observed) -> Vec<Action> {
    if policy != DeletionPolicy::Retain {
        return Vec::new();
    }
    let secrets = Child::ALL.into_iter().filter(|role| role.outlives_the_blog()).filter_map(|role| {
        patched_owners(id, policy, Target::Secret(role), &observed.children.get(&role)?.metadata)
    });
    claim_owners(id, policy, observed).into_iter().chain(secrets).collect()
}

/// Under `Delete`, the FlaskBlog as an owner of the PVC. The Secrets' owner is applied with them.
pub(super) fn added_owner(id: &BlogMeta, policy: DeletionPolicy, observed: &Observed) -> Option<Action> {
    if policy == DeletionPolicy::Delete { claim_owners(id, policy, observed) } else { None }
}

fn claim_owners(id: &BlogMeta, policy: DeletionPolicy, observed: &Observed) -> Option<Action> {
    patched_owners(id, policy, Target::Claim, &observed.data_claim.as_ref()?.metadata)
}

/// Differing owners. An object that is being deleted is skipped, since no write can keep it.
fn patched_owners(
    id: &BlogMeta,
    policy: DeletionPolicy,
    target: Target,
    metadata: &ObjectMeta,
) -> Option<Action> {
    if metadata.deletion_timestamp.is_some() {
        return None;
    }
    let owners = wanted_owners(id, policy, metadata)?;
    let body = json!({"metadata": {"ownerReferences": owners}});
    Some(Action::Patch(ObjectPatch::new(Purpose::SetOwners, target, metadata, body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> BlogMeta {
        BlogMeta { namespace: "press".into(), name: "daily".into(), uid: "new".into(), generation: Some(1) }
    }

    fn owned_by(owners: Vec<OwnerReference>) -> ObjectMeta {
        ObjectMeta { owner_references: Some(owners), ..ObjectMeta::default() }
    }

    fn blog(uid: &str) -> OwnerReference {
        OwnerReference { controller: None, uid: uid.into(), ..id().owner_reference() }
    }

    fn stranger() -> OwnerReference {
        OwnerReference { kind: "Backup".into(), name: "b".into(), ..OwnerReference::default() }
    }

    #[test]
    fn the_claim_follows_the_policy_and_keeps_the_owners_of_others() {
        let wanted = |policy, owners| wanted_owners(&id(), policy, &owned_by(owners));
        assert_eq!(wanted(DeletionPolicy::Retain, vec![]), None);
        assert_eq!(wanted(DeletionPolicy::Delete, vec![stranger()]), Some(vec![stranger(), blog("new")]));
        assert_eq!(wanted(DeletionPolicy::Delete, vec![blog("new")]), None);
        assert_eq!(wanted(DeletionPolicy::Retain, vec![blog("new"), stranger()]), Some(vec![stranger()]));
    }

    #[test]
    fn owner_of_an_earlier_blog_stays_for_the_collector() {
        let owners = owned_by(vec![blog("old")]);
        assert_eq!(wanted_owners(&id(), DeletionPolicy::Retain, &owners), None);
    }
}
