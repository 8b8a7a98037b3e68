//! `flaskblog.dev/v1alpha1`. `kubectl explain` shows the doc comments, so they address users.

mod database;
mod monitoring;
mod pods;
mod rotation;
mod service;
mod status;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::{
    database::{Database, ExternalDatabase, ManagedDatabase, Storage, TlsMode},
    monitoring::Monitoring,
    pods::{Autoscaling, PodTemplate, TaintEffect, Toleration, TolerationOperator},
    rotation::Rotation,
    service::{Ingress, NetworkPolicy, Service, ServiceType},
    status::{FlaskBlogStatus, StorageStatus},
};
use crate::quantity::Resources;

/// Longest name of a blog. Names derived from it then fit into labels of 63 characters.
pub const NAME_LIMIT: usize = 40;

/// A Flaskr blog and its MySQL database.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "flaskblog.dev",
    version = "v1alpha1",
    kind = "FlaskBlog",
    plural = "flaskblogs",
    shortname = "fb",
    category = "all",
    category = "flaskblog",
    namespaced,
    doc = "A Flaskr blog with its MySQL database. `spec: {}` is a working blog.",
    status = "FlaskBlogStatus",
    derive = "PartialEq",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#,
        description = "Whether the replicas of the current spec are ready."
    ),
    printcolumn(
        name = "Status",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#,
        description = "Why."
    ),
    printcolumn(
        name = "Replicas",
        type_ = "integer",
        json_path = ".status.readyReplicas",
        description = "Number of ready replicas."
    ),
    printcolumn(
        name = "Schema",
        type_ = "integer",
        json_path = ".status.schemaVersion",
        description = "Version of the database's schema."
    ),
    printcolumn(
        name = "URL",
        type_ = "string",
        json_path = ".status.url",
        description = "URL of the blog."
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Image",
        type_ = "string",
        json_path = ".status.image",
        description = "Image of the blog.",
        priority = "1"
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#,
        description = "Message of the Ready condition.",
        priority = "1"
    ),
    validation = Rule::new(
        "size(self.metadata.name) <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')"
    )
    .message(
        "metadata.name must have at most 40 characters, begin with a letter and hold only a-z, 0-9 and '-', \
         for example my-blog"
    ),
    validation = database::storage_size_rule()
)]
#[serde(rename_all = "camelCase")]
pub struct FlaskBlogSpec {
    /// Number of replicas of the blog. 0 stops the blog and keeps its database running.
    #[serde(default = "two_replicas")]
    #[schemars(range(min = 0, max = 50))]
    pub replicas: i32,

    /// Image of the blog. Default: the image of the operator's release. A blog keeps its first default image, so that an
    /// upgrade of the operator restarts no blog.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^\S+$"))]
    pub image: Option<String>,

    /// When a node pulls the blog's image: `IfNotPresent`, `Always` or `Never`.
    #[serde(default)]
    pub image_pull_policy: ImagePullPolicy,

    /// Title in the header of every page.
    #[serde(default = "default_title")]
    #[schemars(length(min = 1, max = 100))]
    #[x_kube(validation = Rule::new(r"self.matches('^[^\\x00-\\x1f\\x7f]+$') && self.trim() != ''")
        .message("title must be one line of text with at least one visible character, for example: Flaskr"))]
    pub title: String,

    /// Whether visitors may register: `Open`, or `Closed`, which keeps the existing accounts.
    #[serde(default)]
    pub registration: Registration,

    /// Format of posts: `Plain` shows them as they were written, line by line; `Markdown` formats them.
    #[serde(default)]
    pub markup: Markup,

    /// Service of the blog.
    #[serde(default)]
    pub service: Service,

    /// Ingress of the blog, with its host name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<Ingress>,

    /// NetworkPolicies of the pods.
    #[serde(default)]
    pub network_policy: NetworkPolicy,

    /// Compute resources of each replica. Default: requests of 25m CPU and 64Mi memory, a limit of 256Mi memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,

    /// Placement, labels and annotations of the blog's pods, besides what the operator sets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_template: Option<PodTemplate>,

    /// Scales the replicas by CPU load, instead of `replicas`. Requires a metrics server in the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<Autoscaling>,

    /// Database of the users and posts: `managed`, which is the default, or `external`.
    #[serde(default)]
    pub database: Database,

    /// Maximum age of passwords and keys before the operator rotates them. Default: rotation only on request, by an annotation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<Rotation>,

    /// Prometheus and Grafana integration. Default: disabled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monitoring: Option<Monitoring>,

    /// What happens to data and credentials when this FlaskBlog is deleted. `Retain` keeps the volume and the Secrets, and a
    /// new FlaskBlog of the same name uses them. `Delete` deletes them.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,

    /// Pauses reconciliation. The operator changes, creates and deletes nothing for this blog, and sets the condition
    /// `Suspended`.
    #[serde(default)]
    pub suspend: bool,

    /// Hibernates the blog: the replicas stop, then the database. The data is kept. `false` resumes it, the database first.
    #[serde(default)]
    pub hibernate: bool,

    /// Whether a change that restarts the blog or its database is applied at once (`Immediate`) or waits for the annotation
    /// `flaskblog.dev/approve` (`Manual`).
    #[serde(default)]
    pub rollout_policy: RolloutPolicy,
}

fn two_replicas() -> i32 {
    2
}

fn default_title() -> String {
    "Flaskr".into()
}

/// When a node pulls an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ImagePullPolicy {
    /// Only if the node lacks it.
    #[default]
    IfNotPresent,
    /// At every start of a pod.
    Always,
    /// Never; the image must be on the node already.
    Never,
}

impl ImagePullPolicy {
    /// The spelling of the pod spec.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::IfNotPresent => "IfNotPresent",
            Self::Always => "Always",
            Self::Never => "Never",
        }
    }
}

/// Whether visitors may register.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Registration {
    /// Every visitor may register.
    #[default]
    Open,
    /// No registration; existing accounts stay.
    Closed,
}

/// Format of posts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Markup {
    /// As they were written, line by line.
    #[default]
    Plain,
    /// As Markdown, without raw HTML.
    Markdown,
}

/// When a change that restarts pods is applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RolloutPolicy {
    /// At once.
    #[default]
    Immediate,
    /// After a user's approval.
    Manual,
}

/// What happens to data and credentials when the FlaskBlog is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// Keep them; a new FlaskBlog of the same name uses them.
    #[default]
    Retain,
    /// Delete them with the FlaskBlog.
    Delete,
}

/// Deserializes `null` as an empty value, since server-side apply leaves `null` for a map without entries.
pub(crate) fn null_is_empty<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
