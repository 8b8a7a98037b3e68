//! `flaskblog.dev/v1alpha1`. Doc comments become what `kubectl explain` says, so they speak to the user.

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

/// The longest name of a blog, so that the names derived from it fit into labels of 63 characters.
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
        description = "Whether the replicas of the current spec serve."
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
        description = "Replicas that serve."
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
        description = "Where the blog answers."
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
        description = "What is going on.",
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
    /// How many copies of the blog serve side by side. 0 stops the blog and keeps its database.
    #[serde(default = "two_replicas")]
    #[schemars(range(min = 0, max = 50))]
    pub replicas: i32,

    /// Image of the blog. Left out, it is the one that the operator's release brings; a blog keeps the one that it
    /// was first given, so that upgrading the operator restarts no blog.
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

    /// Whether visitors may register: `Open`, or `Closed`, which keeps the accounts that exist.
    #[serde(default)]
    pub registration: Registration,

    /// How bodies of posts are read: `Plain` shows them as they were written, line by line; `Markdown` formats them.
    #[serde(default)]
    pub markup: Markup,

    /// How the blog is reached.
    #[serde(default)]
    pub service: Service,

    /// A host name under which an ingress controller leads visitors to the blog.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<Ingress>,

    /// Who may connect to the pods.
    #[serde(default)]
    pub network_policy: NetworkPolicy,

    /// What each replica may use. Left out: 25m CPU and 64Mi memory requested, at most 256Mi memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,

    /// Where the blog's pods run and what they carry besides what the operator sets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_template: Option<PodTemplate>,

    /// As many replicas as the load asks for, instead of `replicas`. Needs a metrics server in the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<Autoscaling>,

    /// The database that holds users and posts: `managed`, which is the default, or `external`.
    #[serde(default)]
    pub database: Database,

    /// How old passwords and keys become before the operator makes new ones. Left out: it does so only when asked by an
    /// annotation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<Rotation>,

    /// What Prometheus and Grafana are told of this blog. Left out: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monitoring: Option<Monitoring>,

    /// What becomes of data and credentials when this FlaskBlog is deleted: `Retain` keeps the volume and the Secrets,
    /// and a FlaskBlog of the same name takes them up again; `Delete` removes them.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,

    /// The operator stops working on this blog: it changes nothing, makes nothing, removes nothing, and says so.
    #[serde(default)]
    pub suspend: bool,

    /// The blog sleeps: its replicas end, then its database; the data stays. `false` wakes it, the database first.
    #[serde(default)]
    pub hibernate: bool,

    /// Whether a change that restarts the blog or its database is carried out at once (`Immediate`) or waits for the
    /// annotation `flaskblog.dev/approve` (`Manual`).
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
    /// As the pod spec spells it.
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
    /// Everybody may.
    #[default]
    Open,
    /// Nobody may; existing accounts stay.
    Closed,
}

/// How bodies of posts are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Markup {
    /// As they were written, line by line.
    #[default]
    Plain,
    /// As Markdown, without raw HTML.
    Markdown,
}

/// When a change that restarts something is carried out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RolloutPolicy {
    /// At once.
    #[default]
    Immediate,
    /// When a person approves it.
    Manual,
}

/// What becomes of data and credentials when the FlaskBlog is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// Keep them; a FlaskBlog of the same name takes them up again.
    #[default]
    Retain,
    /// Delete them with the FlaskBlog.
    Delete,
}

/// Server-side apply leaves `null` of a map whose last entry is gone, so that means the same as an empty one.
pub(crate) fn null_is_empty<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
