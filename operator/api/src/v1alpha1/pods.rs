//! What the blog's pods look like and how many of them there are.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Affinity;
use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use super::null_is_empty;
use crate::bounded::{bounded, constrain_affinity};

/// Where the blog's pods run and what they carry besides what the operator sets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodTemplate {
    /// Only nodes with all of these labels.
    #[serde(default, deserialize_with = "null_is_empty", skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "labels")]
    #[x_kube(validation = Rule::new(LABEL_KEYS_RULE).message(LABEL_KEYS_MESSAGE))]
    pub node_selector: BTreeMap<String, String>,
    /// Taints of nodes that the pods put up with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub tolerations: Vec<Toleration>,
    /// Rules that attract pods to nodes or to other pods, or keep them apart, as in a pod's own spec.affinity. The spread
    /// over nodes that the operator asks for stays.
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

/// Labels that people may set: the operator finds its objects by those of the other kinds.
pub(super) const FREE_LABELS_RULE: &str =
    "self.all(key, !key.startsWith('app.kubernetes.io/') && !key.startsWith('flaskblog.dev/'))";

/// Keys as the API server takes them
/// (<https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set>).
pub(super) const LABEL_KEYS_RULE: &str = "self.all(key, size(key) <= 317 && key.matches(\
    '^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))";
pub(super) const LABEL_KEYS_MESSAGE: &str = "keys have at most 63 letters, digits, '-', '_' and '.', begin and end with a \
    letter or digit, and may follow a DNS name and '/', for example example.org/team";

/// Of annotations the prefix may have capital letters.
pub(super) const ANNOTATION_KEYS_RULE: &str = "self.all(key, size(key) <= 317 && key.matches(\
    '^([A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?([.][A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))";
pub(super) const ANNOTATION_KEYS_MESSAGE: &str = LABEL_KEYS_MESSAGE;

/// A taint that the pods put up with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("!has(self.value) || !has(self.operator) || self.operator != 'Exists'")
    .message("a toleration with operator Exists has no value; remove value or write operator: Equal"))]
#[x_kube(validation = Rule::new("has(self.key) || (has(self.operator) && self.operator == 'Exists')")
    .message("a toleration without a key tolerates every taint; then write operator: Exists"))]
#[x_kube(validation = Rule::new("!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')")
    .message("tolerationSeconds needs effect: NoExecute"))]
#[serde(rename_all = "camelCase")]
pub struct Toleration {
    /// Key of the taint; none means every key.
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
    /// Effect of the taint; none means every effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<TaintEffect>,
    /// How many seconds a pod stays on a node that gets the taint `NoExecute`; none means for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 31_536_000))]
    pub toleration_seconds: Option<i64>,
}

/// How a toleration compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TolerationOperator {
    /// Key and value are the taint's.
    Equal,
    /// The key is the taint's.
    Exists,
}

/// What a taint does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TaintEffect {
    /// No new pod.
    NoSchedule,
    /// Rather no new pod.
    PreferNoSchedule,
    /// No pod.
    NoExecute,
}

/// As many replicas as the load asks for. The operator makes a HorizontalPodAutoscaler and lets go of the number of
/// replicas; `spec.replicas` has no effect meanwhile. Needs a metrics server in the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("self.minReplicas <= self.maxReplicas")
    .message("autoscaling.minReplicas must be at most maxReplicas"))]
#[serde(rename_all = "camelCase")]
pub struct Autoscaling {
    /// Never fewer replicas than this.
    #[serde(default = "two")]
    #[schemars(range(min = 1, max = 50))]
    pub min_replicas: i32,
    /// Never more replicas than this.
    #[schemars(range(min = 1, max = 50))]
    pub max_replicas: i32,
    /// The average use of the requested CPU that more replicas are started above, in percent.
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

/// A map of texts, each within what Kubernetes itself allows for annotations in practice.
pub(super) fn texts(_: &mut SchemaGenerator) -> Schema {
    schemars::json_schema!({
        "type": "object", "nullable": true, "maxProperties": 32,
        "additionalProperties": {"type": "string", "maxLength": 4096},
    })
}

/// A map of labels, as Kubernetes allows them.
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
