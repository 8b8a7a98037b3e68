//! To whom the claim of MySQL's volume belongs: to nobody under `Retain`, to the FlaskBlog under `Delete`, so that it goes
//! with that and with nothing else.

use flaskblog_api::{
    DeletionPolicy,
    children::{MANAGER, data_claim},
};
use k8s_openapi::{
    api::core::v1::PersistentVolumeClaim,
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::json;

use crate::{error::Error, identity::Identity, observe::Observed};

/// The owners that the claim should have, if they differ from those that it has (no client required). Owners that
/// others have set stay.
#[must_use]
pub fn wanted_owners(
    id: &Identity,
    policy: DeletionPolicy,
    metadata: &ObjectMeta,
) -> Option<Vec<OwnerReference>> {
    let current = metadata.owner_references.clone().unwrap_or_default();
    let is_ours = |owner: &OwnerReference| owner.kind == "FlaskBlog" && owner.name == id.name;
    let mut wanted: Vec<OwnerReference> = current.iter().filter(|owner| !is_ours(owner)).cloned().collect();
    if policy == DeletionPolicy::Delete {
        // Not as controller: the StatefulSet controller may want to be that.
        wanted.push(OwnerReference { controller: None, ..id.owner_reference() });
    }
    (wanted != current).then_some(wanted)
}

/// Gives the claim its owners (client required). A claim on its way out is left alone: nothing brings it back.
///
/// # Errors
/// [`Error::Write`] when the API server refuses it.
pub async fn settle_owner(
    client: &Client,
    id: &Identity,
    policy: DeletionPolicy,
    observed: &Observed,
) -> Result<(), Error> {
    let Some(claim) =
        observed.data_claim.as_ref().filter(|claim| claim.metadata.deletion_timestamp.is_none())
    else {
        return Ok(());
    };
    let Some(owners) = wanted_owners(id, policy, &claim.metadata) else { return Ok(()) };
    let name = data_claim(&id.name);
    let api: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &id.namespace);
    // The version makes it fail if somebody else has changed the owners since they were read.
    let patch = json!({"metadata": {"resourceVersion": claim.resource_version(), "ownerReferences": owners}});
    let params = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
    api.patch_metadata(&name, &params, &Patch::Merge(patch)).await.map(|_| ()).map_err(|source| {
        Error::Write {
            verb: "set the owner of",
            kind: "PersistentVolumeClaim".into(),
            name,
            source: Box::new(source),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> Identity {
        Identity { namespace: "press".into(), name: "daily".into(), uid: "new".into(), generation: Some(1) }
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
    fn an_earlier_blog_of_the_name_no_longer_owns_the_claim() {
        let owners = owned_by(vec![blog("old")]);
        assert_eq!(wanted_owners(&id(), DeletionPolicy::Delete, &owners), Some(vec![blog("new")]));
    }
}
