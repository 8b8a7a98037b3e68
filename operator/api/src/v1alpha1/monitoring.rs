//! What Prometheus and Grafana are told.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{
    null_is_empty,
    pods::{FREE_LABELS_RULE, LABEL_KEYS_MESSAGE, LABEL_KEYS_RULE},
};

/// What Prometheus and Grafana are told of a blog. The first two need the Prometheus operator's resource definitions in the
/// cluster; without them the blog runs all the same, and the condition `Monitored` says what is missing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Monitoring {
    /// Prometheus collects the figures of every replica, and what MySQL says of itself. Makes a PodMonitor: the blog's
    /// Service shows the blog and not its figures.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub service_monitor: bool,
    /// Prometheus alerts when the blog doesn't serve, fails, is slow, or its database or volume needs a hand. Makes a
    /// PrometheusRule.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub prometheus_rule: bool,
    /// Grafana shows a dashboard of this blog. Makes a ConfigMap with the label `grafana_dashboard: "1"`, which Grafana's
    /// sidecar looks for.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub dashboard: bool,
    /// Labels of these objects, where your Prometheus or Grafana looks only at objects with certain ones, for example
    /// release: prometheus.
    #[serde(default, deserialize_with = "null_is_empty", skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "super::pods::labels")]
    #[x_kube(validation = Rule::new(FREE_LABELS_RULE)
        .message("monitoring.labels can't hold keys that begin with app.kubernetes.io/ or flaskblog.dev/, they are the \
            operator's; write for example release: prometheus"))]
    #[x_kube(validation = Rule::new(LABEL_KEYS_RULE).message(LABEL_KEYS_MESSAGE))]
    pub labels: BTreeMap<String, String>,
}
