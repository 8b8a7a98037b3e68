//! Pods of the blog: placement, metadata and number.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Affinity;
use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use super::null_is_empty;
use crate::bounded::{bounded, constrain_affinity};

/// Placement, labels and annotations of the blog's pods, besides what the operator sets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodTemplate {
    /// Labels that a node must have.
    #[serde(default, deserialize_with = "null_is_empty", skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "labels")]
    #[x_kube(validation = Rule::new(LABEL_KEYS_RULE).message(LABEL_KEYS_MESSAGE))]
    pub node_selector: BTreeMap<String, String>,
    /// Taints that the pods tolerate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub tolerations: Vec<Toleration>,
    /// Affinity of the pods, as in a pod's own spec.affinity. The operator's topology spread over nodes still applies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "affinity")]
    pub affinity: Option<Affinity>,
    /// Annotations of the pods.
    #[serde(default, deserialize_with = "null_is_empty", skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "texts")]
    #[x_kube(validation = Rule::new("self.all(key, !key.startsWith('flaskblog.dev/'))")
        .message("podTemplate.annotations can't hold keys that begin with flaskblog.dev/, they are the operator's"))]
    #[x_kube(validation = Rule::new(ANNOTATION_KEYS_RULE).message(ANNOTATION_KEYS_MESSAGE))]
    pub annotations: BTreeMap<String, String>,
    /// Labels of the pods.
    #[serde(default, deserialize_with = "null_is_empty", skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "labels")]
    #[x_kube(validation = Rule::new(FREE_LABELS_RULE)
        .message("podTemplate.labels can't hold keys that begin with app.kubernetes.io/ or flaskblog.dev/, they are the \
            operator's; write for example team: press"))]
    #[x_kube(validation = Rule::new(LABEL_KEYS_RULE).message(LABEL_KEYS_MESSAGE))]
    pub labels: BTreeMap<String, String>,
}

/// Labels that users may set: the operator selects its objects by the other ones.
pub(super) const FREE_LABELS_RULE: &str =
    "self.all(key, !key.startsWith('app.kubernetes.io/') && !key.startsWith('flaskblog.dev/'))";

/// Keys that the API server accepts
/// (<https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set>).
pub(super) const LABEL_KEYS_RULE: &str = "self.all(key, size(key) <= 317 && key.matches(\
    '^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))";
pub(super) const LABEL_KEYS_MESSAGE: &str = "keys have at most 63 letters, digits, '-', '_' and '.', begin and end with a \
    letter or digit, and may follow a DNS name and '/', for example example.org/team";

/// In annotations the prefix may have capital letters.
pub(super) const ANNOTATION_KEYS_RULE: &str = "self.all(key, size(key) <= 317 && key.matches(\
    '^([A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?([.][A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))";
pub(super) const ANNOTATION_KEYS_MESSAGE: &str = LABEL_KEYS_MESSAGE;

/// A taint that the pods tolerate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("!has(self.value) || !has(self.operator) || self.operator != 'Exists'")
    .message("a toleration with operator Exists has no value; remove value or write operator: Equal"))]
#[x_kube(validation = Rule::new("has(self.key) || (has(self.operator) && self.operator == 'Exists')")
    .message("a toleration without a key tolerates every taint; then write operator: Exists"))]
#[x_kube(validation = Rule::new("!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')")
    .message("tolerationSeconds needs effect: NoExecute"))]
#[serde(rename_all = "camelCase")]
pub struct Toleration {
    /// Key of the taint. Default: every key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 317),
        regex(
            pattern = r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
        )
    )]
    pub key: Option<String>,
    /// `Equal`, which is the default, or `Exists`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<TolerationOperator>,
    /// Value of the taint, for `Equal`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63), regex(pattern = r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$"))]
    pub value: Option<String>,
    /// Effect of the taint. Default: every effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<TaintEffect>,
    /// Seconds for which a pod stays on a node that gets the taint `NoExecute`. Default: without limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 31_536_000))]
    pub toleration_seconds: Option<i64>,
}

/// Comparison of a toleration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TolerationOperator {
    /// Key and value are equal to the taint's.
    Equal,
    /// The key is the taint's.
    Exists,
}

/// Effect of a taint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TaintEffect {
    /// No new pod.
    NoSchedule,
    /// No new pod, if possible.
    PreferNoSchedule,
    /// No pod.
    NoExecute,
}

/// Scales the replicas by CPU load. Creates a HorizontalPodAutoscaler, which then controls the number of replicas;
/// `spec.replicas` has no effect. Requires a metrics server in the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("self.minReplicas <= self.maxReplicas")
    .message("autoscaling.minReplicas must be at most maxReplicas"))]
#[serde(rename_all = "camelCase")]
pub struct Autoscaling {
    /// Minimum number of replicas.
    #[serde(default = "two")]
    #[schemars(range(min = 1, max = 50))]
    pub min_replicas: i32,
    /// Maximum number of replicas.
    #[schemars(range(min = 1, max = 50))]
    pub max_replicas: i32,
    /// Target of the average CPU use, in percent of the request. More replicas are started above it.
    #[serde(default = "eighty", rename = "targetCPUUtilizationPercentage")]
    #[schemars(range(min = 1, max = 1000))]
    pub target_cpu_utilization_percentage: i32,
}

fn two() -> i32 {
    2
}

fn eighty() -> i32 {
    80
}

/// Schema of a map of texts, each within the practical limits of annotations in Kubernetes.
pub(super) fn texts(_: &mut SchemaGenerator) -> Schema {
    schemars::json_schema!({
        "type": "object", "nullable": true, "maxProperties": 32,
        "additionalProperties": {"type": "string", "maxLength": 4096},
    })
}

/// Schema of a map of labels.
pub(super) fn labels(_: &mut SchemaGenerator) -> Schema {
    schemars::json_schema!({
        "type": "object", "nullable": true, "maxProperties": 32,
        "additionalProperties": {"type": "string", "maxLength": 63,
            "pattern": r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$"},
    })
}

fn affinity(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = bounded::<Affinity>(generator);
    constrain_affinity(&mut schema);
    schema
}
