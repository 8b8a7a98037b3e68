//! Owner references of the PVC and the Secrets: none under `Retain`, the FlaskBlog under `Delete`.
//!
//! `Retain` takes effect first in a reconcile, so a blog whose other objects are refused keeps its data when it is deleted.
//! `Delete` comes last: only objects that belong to the blog get the owner reference.

use flaskblog_api::{
    Child, DeletionPolicy, FlaskBlog,
    children::{DATA_VOLUME, DATA_VOLUME_KEY, KEEP, MANAGER, SERVED_IMAGE, data_claim},
};
use k8s_openapi::{
    ByteString,
    api::core::v1::{PersistentVolumeClaim, Secret},
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use kube::{
    Api, Resource, ResourceExt,
    api::{Patch, PatchParams},
    core::NamespaceResourceScope,
};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::{
    context::Context,
    model::{
        blog_meta::BlogMeta,
        error::Error,
        objects::{Applied, Objects},
        observed::Observed,
        semantic_eq::runs_the_newest_template,
    },
    reconcile::validate::{bound_volume, forgets_volume, mysql_image, recorded_volume},
};

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

/// Under `Retain`, removes the owner references of PVC and Secrets (client required).
///
/// It adds no owner, so it needs no validated plan.
///
/// # Errors
/// [`Error::Write`] when the API server refuses it.
pub async fn remove_owner_references(
    ctx: &Context,
    id: &BlogMeta,
    policy: DeletionPolicy,
    observed: &Observed,
) -> Result<(), Error> {
    if policy != DeletionPolicy::Retain {
        return Ok(());
    }
    patch_claim_owners(ctx, id, policy, observed).await?;
    for role in Child::ALL.into_iter().filter(|role| role.outlives_the_blog()) {
        if let Some(secret) = observed.children.get(&role) {
            patch_owner_references::<Secret>(ctx, id, policy, &role.name(&id.name), &secret.metadata).await?;
        }
    }
    Ok(())
}

/// Under `Delete`, makes the FlaskBlog an owner of the PVC (client required). The Secrets' owner is applied with them.
///
/// # Errors
/// [`Error::Write`] when the API server refuses it.
pub async fn add_owner_references(
    ctx: &Context,
    id: &BlogMeta,
    policy: DeletionPolicy,
    observed: &Observed,
) -> Result<(), Error> {
    if policy != DeletionPolicy::Delete {
        return Ok(());
    }
    patch_claim_owners(ctx, id, policy, observed).await
}

/// Removes the record of a discarded volume (client required).
///
/// MySQL starts on another one afterwards.
///
/// # Errors
/// [`Error::Write`] when the API server refuses it.
pub async fn forget_volume(
    ctx: &Context,
    id: &BlogMeta,
    blog: &FlaskBlog,
    observed: &Observed,
) -> Result<(), Error> {
    if forgets_volume(blog, observed) { write_volume(ctx, id, observed, None).await } else { Ok(()) }
}

/// Records on PVC and Secret what serves the data now (client required).
///
/// The PVC records the image, since it stays with the data. The Secret records the volume, and its copy in MySQL's pod
/// prevents a start on an empty one.
///
/// # Errors
/// [`Error::Write`] when the API server refuses it.
pub async fn record_served_data(
    ctx: &Context,
    id: &BlogMeta,
    blog: &FlaskBlog,
    observed: &Observed,
    applied: &Objects<Applied>,
) -> Result<(), Error> {
    let (Some(set), Some(claim)) = (applied.get(Child::Database), &observed.data_claim) else {
        return Ok(());
    };
    let Some(volume) = bound_volume(claim) else { return Ok(()) };
    let has_secret = observed.children.contains_key(&Child::DatabaseSecret);
    if !has_secret || claim.metadata.deletion_timestamp.is_some() {
        return Ok(());
    }
    let is_recorded = recorded_volume(observed) == Some(volume);
    let image = if runs_the_newest_template(set) {
        mysql_image(set)
    } else if is_recorded {
        last_image(blog, claim)
    } else {
        return Ok(());
    };
    annotate_claim(ctx, id, claim, image).await?;
    if is_recorded { Ok(()) } else { write_volume(ctx, id, observed, Some(volume)).await }
}

/// The image that served the PVC's data last, by annotation or status.
///
/// A PVC that was bound again lacks the annotation.
fn last_image<'a>(blog: &'a FlaskBlog, claim: &'a PersistentVolumeClaim) -> Option<&'a str> {
    let reported = || blog.status.as_ref()?.database_version.as_ref();
    claim.annotations().get(SERVED_IMAGE).or_else(reported).map(String::as_str)
}

async fn annotate_claim(
    ctx: &Context,
    id: &BlogMeta,
    claim: &PersistentVolumeClaim,
    image: Option<&str>,
) -> Result<(), Error> {
    let wanted = KEEP.into_iter().chain(image.map(|image| (SERVED_IMAGE, image)));
    let missing: Map<String, Value> = wanted
        .filter(|(key, value)| claim.annotations().get(*key).map(String::as_str) != Some(*value))
        .map(|(key, value)| (key.to_owned(), value.into()))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let patch = json!({"metadata": {"annotations": missing}});
    let (name, verb) = (data_claim(&id.name), ("annotate", "annotate"));
    patch_exactly::<PersistentVolumeClaim>(ctx, id, &name, &claim.metadata, verb, patch).await
}

async fn write_volume(
    ctx: &Context,
    id: &BlogMeta,
    observed: &Observed,
    volume: Option<&String>,
) -> Result<(), Error> {
    let role = Child::DatabaseSecret;
    let Some(secret) = observed.children.get(&role) else { return Ok(()) };
    let encoded = volume.map(|volume| ByteString(volume.clone().into_bytes()));
    let patch =
        json!({"metadata": {"annotations": {DATA_VOLUME: volume}}, "data": {DATA_VOLUME_KEY: encoded}});
    patch_exactly::<Secret>(
        ctx,
        id,
        &role.name(&id.name),
        &secret.metadata,
        ("record", "record the volume in"),
        patch,
    )
    .await
}

async fn patch_claim_owners(
    ctx: &Context,
    id: &BlogMeta,
    policy: DeletionPolicy,
    observed: &Observed,
) -> Result<(), Error> {
    let Some(claim) = &observed.data_claim else { return Ok(()) };
    patch_owner_references::<PersistentVolumeClaim>(ctx, id, policy, &data_claim(&id.name), &claim.metadata)
        .await
}

/// Writes differing owners. An object that is being deleted is skipped, since no write can keep it.
async fn patch_owner_references<K>(
    ctx: &Context,
    id: &BlogMeta,
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
    let patch = json!({"metadata": {"ownerReferences": owners}});
    patch_exactly::<K>(ctx, id, name, metadata, ("own", "set the owner of"), patch).await
}

/// Patches exactly the version that was read. The label is the metric's, the verb the error's.
async fn patch_exactly<K>(
    ctx: &Context,
    id: &BlogMeta,
    name: &str,
    read: &ObjectMeta,
    (label, verb): (&'static str, &'static str),
    mut patch: Value,
) -> Result<(), Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    let kind = K::kind(&()).into_owned();
    let api: Api<K> = Api::namespaced(ctx.client.0.clone(), &id.namespace);
    patch["metadata"]["resourceVersion"] = json!(read.resource_version);
    let params = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
    ctx.metrics.api_writes.get_or_create(&(label, kind.clone()).into()).inc();
    api.patch_metadata(name, &params, &Patch::Merge(patch)).await.map(|_| ()).map_err(|source| Error::Write {
        verb,
        kind,
        name: name.to_owned(),
        source: Box::new(source),
    })
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
