//! Records of what serves the data (no client required).
//!
//! The PVC records the image, since it stays with the data. The Secret records the volume, and its copy in MySQL's pod
//! prevents a start on an empty one.

use flaskblog_api::{
    Child, FlaskBlog,
    children::{DATA_VOLUME, DATA_VOLUME_KEY, KEEP, SERVED_IMAGE},
};
use k8s_openapi::{ByteString, api::core::v1::PersistentVolumeClaim};
use kube::ResourceExt;
use serde_json::{Map, Value, json};

use super::{Action, ObjectPatch, Purpose, Target};
use crate::{
    model::{
        objects::{Applied, Objects},
        observed::Observed,
        semantic_eq::runs_the_newest_template,
    },
    reconcile::validate::{bound_volume, forgets_volume, mysql_image, recorded_volume},
};

/// The removal of a discarded volume's record. MySQL starts on another one afterwards.
pub(super) fn forgotten_volume(blog: &FlaskBlog, observed: &Observed) -> Option<Action> {
    if forgets_volume(blog, observed) { recorded(observed, None) } else { None }
}

/// The missing records of image and volume.
pub(super) fn served_data(blog: &FlaskBlog, observed: &Observed, applied: &Objects<Applied>) -> Vec<Action> {
    let (Some(set), Some(claim)) = (applied.get(Child::Database), &observed.data_claim) else {
        return Vec::new();
    };
    let Some(volume) = bound_volume(claim) else { return Vec::new() };
    let has_secret = observed.children.contains_key(&Child::DatabaseSecret);
    if !has_secret || claim.metadata.deletion_timestamp.is_some() {
        return Vec::new();
    }
    let is_recorded = recorded_volume(observed) == Some(volume);
    let image = if runs_the_newest_template(set) {
        mysql_image(set)
    } else if is_recorded {
        last_image(blog, claim)
    } else {
        return Vec::new();
    };
    let volume = if is_recorded { None } else { recorded(observed, Some(volume)) };
    annotated_claim(claim, image).into_iter().chain(volume).collect()
}

/// The image that served the PVC's data last, by annotation or status.
///
/// A PVC that was bound again lacks the annotation.
fn last_image<'a>(blog: &'a FlaskBlog, claim: &'a PersistentVolumeClaim) -> Option<&'a str> {
    let reported = || blog.status.as_ref()?.database_version.as_ref();
    claim.annotations().get(SERVED_IMAGE).or_else(reported).map(String::as_str)
}

fn annotated_claim(claim: &PersistentVolumeClaim, image: Option<&str>) -> Option<Action> {
    let wanted = KEEP.into_iter().chain(image.map(|image| (SERVED_IMAGE, image)));
    let missing: Map<String, Value> = wanted
        .filter(|(key, value)| claim.annotations().get(*key).map(String::as_str) != Some(*value))
        .map(|(key, value)| (key.to_owned(), value.into()))
        .collect();
    let body = json!({"metadata": {"annotations": missing}});
    let patch = ObjectPatch::new(Purpose::RecordImage, Target::Claim, &claim.metadata, body);
    (!missing.is_empty()).then_some(Action::Patch(patch))
}

fn recorded(observed: &Observed, volume: Option<&String>) -> Option<Action> {
    let role = Child::DatabaseSecret;
    let secret = observed.children.get(&role)?;
    let encoded = volume.map(|volume| ByteString(volume.clone().into_bytes()));
    let body =
        json!({"metadata": {"annotations": {DATA_VOLUME: volume}}, "data": {DATA_VOLUME_KEY: encoded}});
    let patch = ObjectPatch::new(Purpose::RecordVolume, Target::Secret(role), &secret.metadata, body);
    Some(Action::Patch(patch))
}
