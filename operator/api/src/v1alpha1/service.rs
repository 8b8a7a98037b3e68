//! Service, Ingress and NetworkPolicies of a blog.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    null_is_empty,
    pods::{ANNOTATION_KEYS_MESSAGE, ANNOTATION_KEYS_RULE},
};

/// Service of the blog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("!has(self.nodePort) || self.type != 'ClusterIP'")
    .message("service.nodePort needs service.type NodePort or LoadBalancer; set one of them or remove nodePort"))]
#[serde(rename_all = "camelCase")]
pub struct Service {
    /// `NodePort` opens a port on every node, `LoadBalancer` requests an address from the cloud, `ClusterIP` is reachable only
    /// inside the cluster.
    #[serde(rename = "type", default)]
    pub type_: ServiceType,
    /// Port of the Service inside the cluster.
    #[serde(default = "default_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
    /// Port on every node, 30000 to 32767. Default: the cluster assigns one, which then stays.
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
    /// A port on every node.
    #[default]
    NodePort,
    /// Only inside the cluster.
    #[serde(rename = "ClusterIP")]
    ClusterIp,
    /// An address from the cloud.
    LoadBalancer,
}

impl ServiceType {
    /// The spelling of the Service spec.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NodePort => "NodePort",
            Self::ClusterIp => "ClusterIP",
            Self::LoadBalancer => "LoadBalancer",
        }
    }
}

/// Ingress of the blog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Ingress {
    /// Host name of the blog, for example blog.example.org.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
    )]
    #[x_kube(validation = Rule::new("!self.matches('^[0-9]+([.][0-9]+){3}$')")
        .message("ingress.host must be a name, not an address; write for example blog.example.org"))]
    pub host: String,
    /// Class of the ingress controller. Default: the cluster's default class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
    )]
    pub class_name: Option<String>,
    /// Secret with certificate and key (`tls.crt`, `tls.key`). Default: the blog is served without TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
    )]
    pub tls_secret_name: Option<String>,
    /// Annotations of the Ingress, for the controller or a certificate manager.
    #[serde(default, deserialize_with = "null_is_empty", skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "super::pods::texts")]
    #[x_kube(validation = Rule::new("self.all(key, !key.startsWith('flaskblog.dev/'))")
        .message("ingress.annotations can't hold keys that begin with flaskblog.dev/, they are the operator's"))]
    #[x_kube(validation = Rule::new(ANNOTATION_KEYS_RULE).message(ANNOTATION_KEYS_MESSAGE))]
    pub annotations: BTreeMap<String, String>,
}

impl Ingress {
    /// URL of the blog with this host name.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.tls_secret_name.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.host)
    }
}

/// NetworkPolicies of the pods.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkPolicy {
    /// Restricts MySQL to connections from the blog, and the blog to connections to its two ports. `false` creates no
    /// NetworkPolicies.
    #[serde(default = "yes")]
    pub enabled: bool,
}

fn yes() -> bool {
    true
}

impl Default for NetworkPolicy {
    fn default() -> Self {
        Self { enabled: true }
    }
}
