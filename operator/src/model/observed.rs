//! What a reconcile has read.

use std::collections::{BTreeMap, BTreeSet};

use flaskblog_api::{Child, OwnedKind};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};

use super::{error::Invalid, objects::ByRole};

/// What is there.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// The blog's children that exist. Secrets come without their data.
    pub children: ByRole,
    /// Objects of other owners that have a child's name, see [`crate::reconcile::validate::separate_foreign`].
    pub foreign: BTreeMap<Child, Invalid>,
    /// The claim of MySQL's volume, if it exists and was read.
    pub data_claim: Option<PersistentVolumeClaim>,
    /// Whether the claim was read. A blog that is ready needs it only when its watch reports a change.
    pub claim_was_read: bool,
    /// MySQL's pod.
    pub database_pod: Option<Pod>,
    /// The blog's pods.
    pub app_pods: Vec<Pod>,
    /// Events about pods that are missing or don't start.
    pub pod_warnings: Vec<PodWarning>,
    /// What the replicas report of their database; nothing without a replica.
    pub replica_report: Option<ReplicaReport>,
    /// Kinds that the cluster lacks.
    pub missing_kinds: BTreeSet<OwnedKind>,
    /// The Secret that the spec names for an external database isn't there.
    pub external_secret_missing: bool,
}

/// How much storage a claim asks for.
#[must_use]
pub fn claim_request(claim: &PersistentVolumeClaim) -> Option<String> {
    let requests = claim.spec.as_ref()?.resources.as_ref()?.requests.as_ref()?;
    requests.get("storage").map(|size| size.0.clone())
}

/// How much storage the volume of a claim has.
#[must_use]
pub fn claim_capacity(claim: &PersistentVolumeClaim) -> Option<String> {
    claim.status.as_ref()?.capacity.as_ref()?.get("storage").map(|size| size.0.clone())
}

/// The newest Event of an object, if it is a Warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodWarning {
    /// Whose pods it concerns.
    pub role: Child,
    /// Whether the pod doesn't exist.
    pub is_refused: bool,
    /// Kind and name of the object.
    pub object: String,
    /// The Event's message.
    pub message: String,
}

/// What the replicas report together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplicaReport {
    /// Every replica reads and writes a schema of this version.
    Good {
        /// The version that the database has now.
        schema: Option<i64>,
        /// A pod whose next start fails, and why.
        warning: Option<(String, String)>,
    },
    /// A replica can't use its database.
    Failing {
        /// Its pod.
        pod: String,
        /// The first line of its answer.
        cause: String,
        /// The version of the schema, if the replica found one.
        schema: Option<i64>,
    },
    /// No replica answers the operator, although the kubelet finds them ready.
    Unreachable {
        /// One of the pods.
        pod: String,
        /// What the connection failed with.
        cause: String,
    },
}
