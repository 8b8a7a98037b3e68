//! Expands the volume, and reverts a refused expansion (client required).
//!
//! It doesn't depend on the database's health, since a full disk needs it most.

use flaskblog_api::{
    Storage,
    children::{MANAGER, data_claim},
};
use k8s_openapi::{
    api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimCondition},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api,
    api::{Patch, PatchParams},
    core::Status,
};
use serde_json::json;

use super::Action;
use crate::{
    context::Context,
    model::{
        blog_meta::BlogMeta,
        error::Error,
        kubectl::set_storage_size,
        observed::{Observed, claim_capacity, claim_request},
        semantic_eq::at_least,
    },
};

/// State of the volume's expansion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VolumeExpansion {
    /// The volume has the size of the spec.
    None,
    /// The PVC requests the new size, and the volume is smaller yet.
    UnderWay(String),
    /// The PVC's request has just changed. The StatefulSet has to follow.
    Requested(String),
    /// The cluster refused it, with the reason. The PVC is unchanged.
    Refused(String),
}

/// The expansion in progress (no client required).
#[must_use]
pub fn volume_expansion(id: &BlogMeta, storage: Option<&Storage>, observed: &Observed) -> VolumeExpansion {
    match storage.and(bound_claim(observed)) {
        Some(claim) if expanded_volume(storage, observed).is_none() => {
            under_way(id, claim, &claim_request(claim).unwrap_or_default())
        }
        _ => VolumeExpansion::None,
    }
}

/// The request of the spec's size, if the PVC has another one (no client required).
///
/// A larger request is reverted only after a failed expansion: users may let the PVC grow beyond the spec.
pub(super) fn expanded_volume(storage: Option<&Storage>, observed: &Observed) -> Option<Action> {
    let (wanted, claim) = (&storage?.size, bound_claim(observed)?);
    let asks = claim_request(claim).unwrap_or_default();
    let is_taken_back = is_failing(claim) && !at_least(wanted, &asks) && exceeds_capacity(wanted, claim);
    let is_due = !at_least(&asks, wanted) || is_taken_back;
    let claim = Box::new(claim.metadata.clone());
    is_due.then(|| Action::ExpandVolume { claim, from: asks, to: wanted.clone() })
}

fn bound_claim(observed: &Observed) -> Option<&PersistentVolumeClaim> {
    let is_bound = |claim: &&PersistentVolumeClaim| {
        claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound")
    };
    observed.data_claim.as_ref().filter(|claim| claim.metadata.deletion_timestamp.is_none()).filter(is_bound)
}

/// Patches the PVC's request to the desired size (client required).
///
/// # Errors
/// [`Error::Write`] when the API server doesn't answer. A refusal is no error, since the blog continues with the old size.
pub(super) async fn request_size(
    ctx: &Context,
    id: &BlogMeta,
    claim: &ObjectMeta,
    asks: &str,
    wanted: &str,
) -> Result<VolumeExpansion, Error> {
    let name = data_claim(&id.name);
    let patch = json!({"metadata": {"resourceVersion": claim.resource_version},
        "spec": {"resources": {"requests": {"storage": wanted}}}});
    let params = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
    let api: Api<PersistentVolumeClaim> = Api::namespaced(ctx.client.0.clone(), &id.namespace);
    ctx.metrics.api_writes.get_or_create(&("grow", "PersistentVolumeClaim".to_owned()).into()).inc();
    match api.patch(&name, &params, &Patch::Merge(patch)).await {
        Ok(_) => Ok(VolumeExpansion::Requested(format!(
            "PersistentVolumeClaim {name} asks for {wanted} now, after {asks}"
        ))),
        // The admission plugin PersistentVolumeClaimResize returns 403 for an unsuitable class. A bad size may return 422.
        Err(kube::Error::Api(status)) if matches!(status.code, 403 | 422) && !lacks_right(&status) => {
            let class = if at_least(wanted, asks) {
                "Let the class allow it (allowVolumeExpansion: true), or set "
            } else {
                "Set "
            };
            Ok(VolumeExpansion::Refused(format!(
                "PersistentVolumeClaim {name} stays at {asks} and everything runs on: {}. {class}the size back: {}",
                status.message,
                set_storage_size(id, asks)
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

/// Whether the operator itself lacks the permission.
///
/// Only the message distinguishes this from an admission plugin's refusal.
fn lacks_right(status: &Status) -> bool {
    status.message.contains("cannot patch resource")
}

/// Whether the cluster reports that the expansion failed.
///
/// Source: Kubernetes API, `PersistentVolumeClaimStatus.allocatedResourceStatuses` and `PersistentVolumeClaimCondition`.
fn is_failing(claim: &PersistentVolumeClaim) -> bool {
    let Some(status) = &claim.status else { return false };
    let resize = status.allocated_resource_statuses.as_ref().and_then(|all| all.get("storage"));
    let is_infeasible = resize.is_some_and(|resize| resize.ends_with("ResizeInfeasible"));
    let has_error = |one: &PersistentVolumeClaimCondition| {
        matches!(one.type_.as_str(), "ControllerResizeError" | "NodeResizeError") && one.status == "True"
    };
    is_infeasible || status.conditions.iter().flatten().any(has_error)
}

/// Whether Kubernetes accepts a smaller request: it must exceed the volume's capacity.
fn exceeds_capacity(size: &str, claim: &PersistentVolumeClaim) -> bool {
    claim_capacity(claim).is_some_and(|has| !at_least(&has, size))
}

/// The expansion in progress, if the volume is smaller than requested.
///
/// It includes the cluster's report.
fn under_way(id: &BlogMeta, claim: &PersistentVolumeClaim, asks: &str) -> VolumeExpansion {
    let Some(has) = claim_capacity(claim).filter(|has| !at_least(has, asks)) else {
        return VolumeExpansion::None;
    };
    let conditions = claim.status.as_ref().and_then(|status| status.conditions.as_ref());
    let mut words: Vec<String> = conditions
        .into_iter()
        .flatten()
        .map(|one| format!("{}: {}", one.type_, one.message.as_deref().unwrap_or_default()))
        .collect();
    if is_failing(claim) {
        let command = set_storage_size(id, "SIZE");
        words.push(format!("to take the growth back, set a SIZE above {has} and below {asks}: {command}"));
    }
    VolumeExpansion::UnderWay(format!("the volume has {has} and grows to {asks}; {}", words.join("; ")))
}
