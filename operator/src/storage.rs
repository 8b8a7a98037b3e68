//! Lets the volume grow (client required). Nothing here looks at the database's health: a full disk is when it is needed.

use flaskblog_api::{
    Storage,
    children::{MANAGER, data_claim},
};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::{
    Api,
    api::{Patch, PatchParams},
    core::Status,
};
use serde_json::json;

use crate::{
    compare::at_least,
    context::Context,
    error::Error,
    identity::Identity,
    observe::{Observed, claim_request},
};

/// How the volume's growth stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Growth {
    /// It is as large as the spec says.
    None,
    /// The claim asks for the new size; the volume isn't there yet.
    UnderWay(String),
    /// The claim has just been told; the StatefulSet has to follow.
    Requested(String),
    /// The cluster said no, and why. Everything stays as it was.
    Refused(String),
}

/// Asks for the size of the spec, if the claim asks for less.
///
/// # Errors
/// [`Error::Write`] when the API server doesn't answer. A refusal is no error: the blog runs on with what it has.
pub async fn grow(
    ctx: &Context,
    id: &Identity,
    storage: Option<&Storage>,
    observed: &Observed,
) -> Result<Growth, Error> {
    let (Some(storage), Some(claim)) = (storage, &observed.data_claim) else { return Ok(Growth::None) };
    let wanted = &storage.size;
    let bound = claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound");
    let asks = claim_request(claim).unwrap_or_default();
    if claim.metadata.deletion_timestamp.is_some() || !bound {
        return Ok(Growth::None);
    }
    if at_least(&asks, wanted) {
        return Ok(under_way(claim, &asks));
    }
    let name = data_claim(&id.name);
    let patch = json!({"metadata": {"resourceVersion": claim.metadata.resource_version},
        "spec": {"resources": {"requests": {"storage": wanted}}}});
    let params = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
    let api: Api<PersistentVolumeClaim> = Api::namespaced(ctx.client.0.clone(), &id.namespace);
    ctx.metrics.api_writes.get_or_create(&("grow", "PersistentVolumeClaim".to_owned()).into()).inc();
    match api.patch(&name, &params, &Patch::Merge(patch)).await {
        Ok(_) => {
            Ok(Growth::Requested(format!("PersistentVolumeClaim {name} asks for {wanted} now, after {asks}")))
        }
        // The admission plugin PersistentVolumeClaimResize says 403 if the class can't; the size itself may be a 422.
        Err(kube::Error::Api(status)) if matches!(status.code, 403 | 422) && !lacks_right(&status) => {
            Ok(Growth::Refused(format!(
                "PersistentVolumeClaim {name} stays at {asks} and everything runs on: {}. Let the class allow it \
             (allowVolumeExpansion: true), or set database.managed.storage.size back by making a new FlaskBlog",
                status.message
            )))
        }
        Err(source) => Err(Error::Write {
            verb: "grow",
            kind: "PersistentVolumeClaim".into(),
            name,
            source: Box::new(source),
        }),
    }
}

/// Whether the operator itself may not do it, which says nothing of the class. Only the words tell that from an admission
/// plugin's refusal.
fn lacks_right(status: &Status) -> bool {
    status.message.contains("cannot patch resource")
}

/// Whether the volume is still smaller than what its claim asks for, and what the cluster says of it.
fn under_way(claim: &PersistentVolumeClaim, asks: &str) -> Growth {
    let status = claim.status.clone().unwrap_or_default();
    let has = status.capacity.and_then(|mut capacity| capacity.remove("storage")).map(|size| size.0);
    if has.as_ref().is_none_or(|has| at_least(has, asks)) {
        return Growth::None;
    }
    let words: Vec<String> = status
        .conditions
        .unwrap_or_default()
        .into_iter()
        .map(|one| format!("{}: {}", one.type_, one.message.unwrap_or_default()))
        .collect();
    let has = has.unwrap_or_default();
    Growth::UnderWay(format!("the volume has {has} and grows to {asks}; {}", words.join("; ")))
}
