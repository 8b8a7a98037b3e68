//! `flaskblog.dev/v1alpha1`. Doc comments become what `kubectl explain` says, so they speak to the user.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::quantity::Resources;

/// The longest name of a blog, so that the names derived from it fit into labels of 63 characters.
pub const NAME_LIMIT: usize = 40;

/// A Flaskr blog and its MySQL database.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    )
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

    /// How the blog is reached.
    #[serde(default)]
    pub service: Service,

    /// What each replica may use. Left out: 25m CPU and 64Mi memory requested, at most 256Mi memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,

    /// The database that holds users and posts.
    #[serde(default)]
    pub database: Database,

    /// What becomes of data and credentials when this FlaskBlog is deleted: `Retain` keeps the volume and the Secrets,
    /// and a FlaskBlog of the same name takes them up again; `Delete` removes them.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
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

/// How the blog is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("!has(self.nodePort) || self.type != 'ClusterIP'")
    .message("service.nodePort needs service.type NodePort or LoadBalancer; set one of them or remove nodePort"))]
#[serde(rename_all = "camelCase")]
pub struct Service {
    /// `NodePort` answers on a port of every node, `LoadBalancer` on an address of the cloud's, `ClusterIP` only inside
    /// the cluster.
    #[serde(rename = "type", default)]
    pub type_: ServiceType,
    /// Port of the Service inside the cluster.
    #[serde(default = "default_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
    /// Port on every node, 30000 to 32767. Left out, the cluster picks one, and it stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 30000, max = 32767))]
    pub node_port: Option<i32>,
}

fn default_port() -> i32 {
    5000
}

impl Default for Service {
    fn default() -> Self {
        Self { type_: ServiceType::default(), port: default_port(), node_port: None }
    }
}

/// Type of the Service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ServiceType {
    /// A port of every node.
    #[default]
    NodePort,
    /// Only inside the cluster.
    #[serde(rename = "ClusterIP")]
    ClusterIp,
    /// An address from the cloud.
    LoadBalancer,
}

impl ServiceType {
    /// As the Service spec spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NodePort => "NodePort",
            Self::ClusterIp => "ClusterIP",
            Self::LoadBalancer => "LoadBalancer",
        }
    }
}

/// The database that holds users and posts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Database {
    /// A MySQL server that the operator runs for this blog alone.
    #[serde(default)]
    pub managed: ManagedDatabase,
}

/// A MySQL server that the operator runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ManagedDatabase {
    /// Image of MySQL: the official one, or one that keeps its contract.
    #[serde(default = "default_mysql_image")]
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^\S+$"))]
    pub image: String,
    /// The volume that the data lies on.
    #[serde(default)]
    pub storage: Storage,
    /// What MySQL may use. Left out: 100m CPU and 512Mi memory requested, at most 1Gi memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
}

fn default_mysql_image() -> String {
    "mysql:9.7".into()
}

impl Default for ManagedDatabase {
    fn default() -> Self {
        Self { image: default_mysql_image(), storage: Storage::default(), resources: None }
    }
}

/// The volume that the data lies on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("has(self.storageClassName) == has(oldSelf.storageClassName) && \
    (!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)")
    .message("storageClassName can't change: a volume stays in its class; make a new FlaskBlog and move the data"))]
#[serde(rename_all = "camelCase")]
pub struct Storage {
    /// Size of the volume. It can't be changed after creation in this version.
    #[serde(default = "default_storage_size")]
    #[schemars(length(min = 1, max = 20), regex(pattern = r"^[0-9]+(Mi|Gi|Ti)$"))]
    #[x_kube(validation = Rule::new("quantity(self).compareTo(quantity('256Mi')) >= 0")
        .message("storage.size must be at least 256Mi, MySQL's own files need that much"))]
    #[x_kube(validation = Rule::new("quantity(self).compareTo(quantity('64Ti')) <= 0")
        .message("storage.size must be at most 64Ti; write for example 10Gi"))]
    #[x_kube(validation = Rule::new("self == oldSelf")
        .message("storage.size can't change after creation in this version; write the old size"))]
    pub size: String,
    /// Class of the volume. Left out, the cluster's default class. It can't be changed after creation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub storage_class_name: Option<String>,
}

fn default_storage_size() -> String {
    "1Gi".into()
}

impl Default for Storage {
    fn default() -> Self {
        Self { size: default_storage_size(), storage_class_name: None }
    }
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

/// What the operator last saw.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct FlaskBlogStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, DatabaseReady, SchemaReady, AppAvailable, Progressing and Degraded, each with a reason and a message.
    #[serde(default)]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Replicas that exist.
    #[serde(default)]
    pub replicas: i32,
    /// Replicas that serve.
    #[serde(default)]
    pub ready_replicas: i32,
    /// Label selector of the replicas, for `kubectl scale` and autoscalers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// Where the blog answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The port on every node, where the Service has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_port: Option<i32>,
    /// Image of the blog in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Version of the database's schema, as the newest migration reported it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema_version: Option<i64>,
}
