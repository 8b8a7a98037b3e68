//! State that a reconcile has read.

use std::collections::{BTreeMap, BTreeSet};

use flaskblog_api::{Child, OwnedKind};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};

use super::{error::Invalid, objects::ByRole};

/// The observed state of a blog.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// The blog's existing children. Secrets have no data.
    pub children: ByRole,
    /// Unmanaged objects with a child's name, see [`crate::reconcile::validate::separate_foreign`].
    pub foreign: BTreeMap<Child, Invalid>,
    /// The PVC of MySQL's volume, if it exists and was read.
    pub data_claim: Option<PersistentVolumeClaim>,
    /// Whether the PVC was read. A ready blog reads it only after a watch event.
    pub claim_was_read: bool,
    /// MySQL's pod.
    pub database_pod: Option<Pod>,
    /// The blog's pods.
    pub app_pods: Vec<Pod>,
    /// Events about pods that are missing or don't start.
    pub pod_warnings: Vec<PodWarning>,
    /// Database health as the replicas report it, or `None` without a replica.
    pub replica_report: Option<ReplicaReport>,
    /// Kinds that the cluster lacks.
    pub missing_kinds: BTreeSet<OwnedKind>,
    /// Whether the referenced Secret of an external database is missing.
    pub external_secret_missing: bool,
}

/// The storage request of a PVC.
#[must_use]
pub fn claim_request(claim: &PersistentVolumeClaim) -> Option<String> {
    let requests = claim.spec.as_ref()?.resources.as_ref()?.requests.as_ref()?;
    requests.get("storage").map(|size| size.0.clone())
}

/// The capacity of a PVC's volume.
#[must_use]
pub fn claim_capacity(claim: &PersistentVolumeClaim) -> Option<String> {
    claim.status.as_ref()?.capacity.as_ref()?.get("storage").map(|size| size.0.clone())
}

/// The newest Event of an object, if it is a Warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodWarning {
    /// Role of the pods' owner.
    pub role: Child,
    /// Whether the pod doesn't exist.
    pub is_refused: bool,
    /// Kind and name of the object.
    pub object: String,
    /// The Event's message.
    pub message: String,
}

/// The merged report of the replicas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplicaReport {
    /// Every replica reads and writes a schema of this version.
    Good {
        /// The current version of the database schema.
        schema: Option<i64>,
        /// A pod whose next start will fail, and the cause.
        warning: Option<(String, String)>,
    },
    /// A replica can't use its database.
    Failing {
        /// Its pod.
        pod: String,
        /// The first line of its response.
        cause: String,
        /// The version of the schema, if the replica found one.
        schema: Option<i64>,
    },
    /// No replica responds to the operator, although the kubelet reports readiness.
    Unreachable {
        /// One of the pods.
        pod: String,
        /// The connection error.
        cause: String,
    },
}
