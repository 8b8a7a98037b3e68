//! Status of a blog.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// Last observed state of the blog.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct FlaskBlogStatus {
    /// Generation of the spec that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, DatabaseReady, SchemaReady, AppAvailable, Progressing and Degraded. While their feature is in use also
    /// Suspended, Hibernated, StorageResizing, Monitored and ResourcesRecommended.
    #[serde(default)]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Number of existing replicas.
    #[serde(default)]
    pub replicas: i32,
    /// Number of ready replicas.
    #[serde(default)]
    pub ready_replicas: i32,
    /// Label selector of the replicas, for `kubectl scale` and autoscalers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// URL of the blog.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Port on every node, if the Service has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_port: Option<i32>,
    /// Image of the blog in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Version of the database's schema, as the newest migration reported it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema_version: Option<i64>,
    /// Version of MySQL in use, from its image's tag, once it was ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database_version: Option<String>,
    /// Volume of the managed database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<StorageStatus>,
    /// Changes that wait for the annotation `flaskblog.dev/approve`, under `rolloutPolicy: Manual`.
    #[serde(default)]
    #[schemars(length(max = 8))]
    pub pending: Vec<String>,
}

/// Volume of the data, as its PVC reports it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct StorageStatus {
    /// Size that the PVC requests. `storage.size` may return to it when an expansion was refused.
    #[schemars(length(max = 64))]
    pub requested: String,
    /// Size of the volume, once it exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub capacity: Option<String>,
}
