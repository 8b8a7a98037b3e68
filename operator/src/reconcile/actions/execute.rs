//! Executes actions (client required).

use flaskblog_api::{FlaskBlog, OwnedKind, children::MANAGER};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Secret};
use kube::{
    Api, Resource,
    api::{DynamicObject, Patch, PatchParams},
    core::{NamespaceResourceScope, PartialObjectMeta},
};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::{
    Action, ObjectPatch, Purpose, Target,
    certificates::renew,
    secret_rotation::rotate,
    volume_expansion::{VolumeExpansion, request_size},
};
use crate::{
    context::Context,
    model::{blog_meta::BlogMeta, change::Change, error::Error, refusals::Refusals},
    reconcile::apply::delete_pod,
};

/// Executes the actions in their order. Returns the state of a requested expansion.
///
/// A refused action goes to `refusals`, and the others are still executed.
///
/// # Errors
/// [`Error`] that concerns every action: the API server is unreachable, or the observed state is stale.
pub async fn execute(
    ctx: &Context,
    blog: &FlaskBlog,
    id: &BlogMeta,
    actions: Vec<Action>,
    changes: &mut Vec<Change>,
    refusals: &mut Refusals,
) -> Result<Option<VolumeExpansion>, Error> {
    let mut expansion = None;
    for action in actions {
        let done = match action {
            Action::Patch(patch) => patch_object(ctx, id, patch).await,
            Action::DeleteStuckPod(pod) => delete_pod(ctx, id, &pod, changes).await,
            Action::RotateSecret(role, steps) => rotate(ctx, id, role, &steps, changes).await,
            Action::RenewCertificate { is_doubtful, .. } => renew(ctx, id, blog, is_doubtful, changes).await,
            Action::ExpandVolume { claim, from, to } => {
                let requested = request_size(ctx, id, &claim, &from, &to).await;
                requested.map(|state| expansion = Some(state))
            }
        };
        refusals.collect(done)?;
    }
    Ok(expansion)
}

async fn patch_object(ctx: &Context, id: &BlogMeta, patch: ObjectPatch) -> Result<(), Error> {
    match patch.target {
        Target::Claim => patch_metadata::<PersistentVolumeClaim>(ctx, id, patch).await.map(|_| ()),
        Target::Secret(_) => {
            let is_of_service = patch.purpose == Purpose::RecordNodePort;
            let written = patch_metadata::<Secret>(ctx, id, patch).await?;
            // The next reconcile may come before the watch event.
            if is_of_service {
                let object =
                    DynamicObject { types: written.types, metadata: written.metadata, data: json!({}) };
                ctx.children.insert(OwnedKind::Secret, &object);
            }
            Ok(())
        }
    }
}

/// Patches exactly the version that was read.
async fn patch_metadata<K>(
    ctx: &Context,
    id: &BlogMeta,
    patch: ObjectPatch,
) -> Result<PartialObjectMeta<K>, Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    let ObjectPatch { purpose, target, version, mut body } = patch;
    let ((label, verb), name) = (purpose.verb(), target.name(id));
    let api: Api<K> = Api::namespaced(ctx.client.0.clone(), &id.namespace);
    body["metadata"]["resourceVersion"] = json!(version);
    let params = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
    ctx.metrics.api_writes.get_or_create(&(label, target.kind().to_owned()).into()).inc();
    let written = api.patch_metadata(&name, &params, &Patch::Merge(body)).await;
    written.map_err(|source| Error::Write {
        verb,
        kind: target.kind().into(),
        name,
        source: Box::new(source),
    })
}
