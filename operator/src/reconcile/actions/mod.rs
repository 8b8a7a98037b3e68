//! Writes beside the plan's objects: decided here without a client, executed by [`execute`].

pub mod certificates;
mod execute;
pub mod node_port;
pub mod owner_references;
pub mod renamed_annotations;
pub mod secret_rotation;
pub mod secrets;
pub mod served_data;
pub mod stuck_pod;
pub mod volume_expansion;

use flaskblog_api::{Child, FlaskBlog, children::data_claim};
use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::ObjectMeta, jiff::Timestamp};
use kube::ResourceExt;
use serde_json::Value;

pub use self::execute::execute;
use self::{
    certificates::renewal,
    node_port::recorded_node_port,
    owner_references::{added_owner, removed_owners},
    renamed_annotations::renamed_annotations,
    secret_rotation::rotations,
    served_data::{forgotten_volume, served_data},
    stuck_pod::stuck_database_pod,
    volume_expansion::expanded_volume,
};
use crate::model::{
    blog_meta::BlogMeta,
    objects::{Applied, Objects},
    observed::Observed,
    plan::Plan,
};

/// One write beside the plan's objects.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Patches metadata or keys of an object that exists.
    Patch(ObjectPatch),
    /// Deletes MySQL's pod, for which its StatefulSet would wait for ever.
    DeleteStuckPod(Box<Pod>),
    /// Requests another size for the PVC.
    ExpandVolume {
        /// The PVC's metadata, as read.
        claim: Box<ObjectMeta>,
        /// The requested size so far.
        from: String,
        /// The size of the spec.
        to: String,
    },
    /// Takes steps of rotations, all of one Secret in one write.
    RotateSecret(Child, Vec<secret_rotation::Step>),
    /// Renews or replaces certificates. Without a step, the Secret's content is checked.
    RenewCertificate {
        /// The due step, as far as the Secret's annotations show it.
        step: Option<certificates::Step>,
        /// Whether the content may be wrong.
        is_doubtful: bool,
    },
}

/// A merge patch of the version that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct ObjectPatch {
    purpose: Purpose,
    target: Target,
    /// The resourceVersion that was read, a precondition of the write.
    version: Option<String>,
    body: Value,
}

impl ObjectPatch {
    fn new(purpose: Purpose, target: Target, read: &ObjectMeta, body: Value) -> Self {
        Self { purpose, target, version: read.resource_version.clone(), body }
    }
}

/// The object of a patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    /// The PVC of the data.
    Claim,
    Secret(Child),
}

impl Target {
    fn kind(self) -> &'static str {
        match self {
            Self::Claim => "PersistentVolumeClaim",
            Self::Secret(_) => "Secret",
        }
    }

    fn name(self, id: &BlogMeta) -> String {
        match self {
            Self::Claim => data_claim(&id.name),
            Self::Secret(role) => role.name(&id.name),
        }
    }
}

/// Why an object is patched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    SetOwners,
    RecordVolume,
    RecordImage,
    RecordNodePort,
    RenameAnnotations,
}

impl Purpose {
    /// The label of the metric, and the verb of errors.
    fn verb(self) -> (&'static str, &'static str) {
        match self {
            Self::SetOwners => ("own", "set the owner of"),
            Self::RecordVolume => ("record", "record the volume in"),
            Self::RecordImage => ("annotate", "annotate"),
            Self::RecordNodePort => ("annotate", "record the node port in"),
            Self::RenameAnnotations => ("patch", "rename the annotations of"),
        }
    }
}

/// The actions that protect data, before the spec is validated (no client required).
#[must_use]
pub fn protecting_actions(blog: &FlaskBlog, id: &BlogMeta, observed: &Observed) -> Vec<Action> {
    let mut all = removed_owners(id, blog.spec.deletion_policy, observed);
    all.extend(forgotten_volume(blog, observed));
    all
}

/// The actions after the apply, in the order of their writes (no client required).
///
/// `is_doubtful`: the certificates' Secret may have been changed by another client.
#[must_use]
pub fn actions(
    blog: &FlaskBlog,
    plan: &Plan,
    observed: &Observed,
    applied: &Objects<Applied>,
    is_doubtful: bool,
    now: Timestamp,
) -> Vec<Action> {
    let policy = blog.spec.deletion_policy;
    let mut all = Vec::new();
    if !plan.refused.contains_key(&Child::Database) {
        let stuck = stuck_database_pod(observed, applied.get(Child::Database));
        all.extend(stuck.map(|pod| Action::DeleteStuckPod(Box::new(pod.clone()))));
    }
    all.extend(added_owner(&plan.id, policy, observed));
    all.extend(recorded_node_port(policy, applied));
    all.extend(served_data(blog, observed, applied));
    let storage = plan.database.managed().map(|managed| &managed.spec.storage);
    all.extend(expanded_volume(storage, observed));
    let renamed = renamed_annotations(applied);
    if renamed.is_empty() {
        all.extend(rotations(blog, applied, now));
        all.extend(renewal(blog, applied, is_doubtful, now));
    }
    all.extend(renamed);
    all
}

impl Action {
    /// One line for `operator plan` and a suspended blog's status.
    #[must_use]
    pub fn line(&self, id: &BlogMeta) -> String {
        match self {
            Self::Patch(ObjectPatch { purpose, target, .. }) => {
                format!("{} {}: {}", target.kind(), target.name(id), purpose.line())
            }
            Self::DeleteStuckPod(pod) => {
                format!("Pod {}: delete, so its StatefulSet replaces it", pod.name_any())
            }
            Self::ExpandVolume { from, to, .. } => {
                format!("PersistentVolumeClaim {}: expand from {from} to {to}", data_claim(&id.name))
            }
            Self::RotateSecret(role, steps) => {
                let steps: Vec<String> = steps.iter().map(ToString::to_string).collect();
                format!("Secret {}: {}", role.name(&id.name), steps.join(", "))
            }
            Self::RenewCertificate { step, .. } => {
                let what = step.as_ref().map_or("check the certificates", certificates::Step::line);
                format!("Secret {}: {what}", Child::DatabaseCertificates.name(&id.name))
            }
        }
    }
}

impl Purpose {
    fn line(self) -> &'static str {
        match self {
            Self::SetOwners => "set the owner references",
            Self::RecordVolume => "record the volume of the data",
            Self::RecordImage => "record the image that serves the data",
            Self::RecordNodePort => "record the node port",
            Self::RenameAnnotations => "rename annotations of an earlier build",
        }
    }
}
