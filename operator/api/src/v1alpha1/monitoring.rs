//! Prometheus and Grafana integration.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{
    null_is_empty,
    pods::{FREE_LABELS_RULE, LABEL_KEYS_MESSAGE, LABEL_KEYS_RULE},
};

/// Prometheus and Grafana integration of a blog. Metrics and alerts require the Prometheus operator's CRDs. Without them
/// the blog runs all the same, and the condition `Monitored` names what is missing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Monitoring {
    /// Prometheus collects the metrics of every replica, including MySQL's status. Creates a PodMonitor, since the blog's
    /// Service doesn't expose the metrics.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub service_monitor: bool,
    /// Prometheus alerts when the blog is unavailable, fails or is slow, or when its database or volume needs attention. Creates
    /// a PrometheusRule.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub prometheus_rule: bool,
    /// Grafana shows a dashboard of this blog. Creates a ConfigMap with the label `grafana_dashboard: "1"`, which Grafana's
    /// sidecar selects.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub dashboard: bool,
    /// Labels of these objects, if your Prometheus or Grafana selects objects by labels, for example release: prometheus.
    #[serde(default, deserialize_with = "null_is_empty", skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "super::pods::labels")]
    #[x_kube(validation = Rule::new(FREE_LABELS_RULE)
        .message("monitoring.labels can't hold keys that begin with app.kubernetes.io/ or flaskblog.dev/, they are the \
            operator's; write for example release: prometheus"))]
    #[x_kube(validation = Rule::new(LABEL_KEYS_RULE).message(LABEL_KEYS_MESSAGE))]
    pub labels: BTreeMap<String, String>,
}
