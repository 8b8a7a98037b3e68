//! To whom data and credentials belong: to nobody under `Retain`, to the FlaskBlog under `Delete`, so that they go with that
//! and with nothing else.
//!
//! `Retain` takes effect before anything else of a reconcile, so that a blog whose other objects can't be applied keeps its
//! data all the same when it is deleted. `Delete` comes last: only what turned out to be the blog's own is given to it.

use flaskblog_api::{
    Child, DeletionPolicy,
    children::{MANAGER, data_claim},
};
use k8s_openapi::{
    api::core::v1::{PersistentVolumeClaim, Secret},
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use kube::{
    Api, Resource,
    api::{Patch, PatchParams},
    core::NamespaceResourceScope,
};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::{context::Context, error::Error, identity::Identity, observe::Observed};

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

/// Under `Retain`, takes claim and Secrets out of the FlaskBlog's possession (client required). It gives nothing to anybody,
/// so it needs no validated plan.
///
/// # Errors
/// [`Error::Write`] when the API server refuses it.
pub async fn release_data(
    ctx: &Context,
    id: &Identity,
    policy: DeletionPolicy,
    observed: &Observed,
) -> Result<(), Error> {
    if policy != DeletionPolicy::Retain {
        return Ok(());
    }
    settle_claim(ctx, id, policy, observed).await?;
    for role in Child::ALL.into_iter().filter(|role| role.outlives_the_blog()) {
        if let Some(secret) = observed.children.get(&role) {
            settle::<Secret>(ctx, id, policy, &role.name(&id.name), &secret.metadata).await?;
        }
    }
    Ok(())
}

/// Under `Delete`, gives the claim to the FlaskBlog (client required); the Secrets' owner is part of what is applied.
///
/// # Errors
/// [`Error::Write`] when the API server refuses it.
pub async fn take_data(
    ctx: &Context,
    id: &Identity,
    policy: DeletionPolicy,
    observed: &Observed,
) -> Result<(), Error> {
    if policy != DeletionPolicy::Delete {
        return Ok(());
    }
    settle_claim(ctx, id, policy, observed).await
}

async fn settle_claim(
    ctx: &Context,
    id: &Identity,
    policy: DeletionPolicy,
    observed: &Observed,
) -> Result<(), Error> {
    let Some(claim) = &observed.data_claim else { return Ok(()) };
    settle::<PersistentVolumeClaim>(ctx, id, policy, &data_claim(&id.name), &claim.metadata).await
}

/// Writes the owners, if they aren't as they should be. What is on its way out is left alone: nothing brings it back.
async fn settle<K>(
    ctx: &Context,
    id: &Identity,
    policy: DeletionPolicy,
    name: &str,
    metadata: &ObjectMeta,
) -> Result<(), Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    if metadata.deletion_timestamp.is_some() {
        return Ok(());
    }
    let Some(owners) = wanted_owners(id, policy, metadata) else { return Ok(()) };
    let kind = K::kind(&()).into_owned();
    let api: Api<K> = Api::namespaced(ctx.client.0.clone(), &id.namespace);
    // The version makes it fail if somebody else has changed the owners since they were read.
    let patch =
        json!({"metadata": {"resourceVersion": metadata.resource_version, "ownerReferences": owners}});
    let params = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
    ctx.metrics.api_writes.get_or_create(&("own", kind.clone()).into()).inc();
    api.patch_metadata(name, &params, &Patch::Merge(patch)).await.map(|_| ()).map_err(|source| Error::Write {
        verb: "set the owner of",
        kind,
        name: name.to_owned(),
        source: Box::new(source),
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
