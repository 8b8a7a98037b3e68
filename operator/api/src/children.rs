//! The objects of one blog: one list that drives watches, apply order, prune and the RBAC test.

use std::collections::BTreeMap;

use kube::core::{ApiResource, GroupVersionKind};

pub use crate::annotations::*;

/// The field manager of server-side apply and the value of `managed-by`.
pub const MANAGER: &str = "flaskblog-operator";
/// The value of `app.kubernetes.io/name` and `part-of`.
pub const APP_NAME: &str = "flaskblog";
/// Selects all objects of the operator, of every blog.
pub const MANAGED_SELECTOR: &str = "app.kubernetes.io/managed-by=flaskblog-operator";
/// The API group of the Prometheus operator.
pub const MONITORING_GROUP: &str = "monitoring.coreos.com";

/// The API group of the vertical autoscaler.
pub const AUTOSCALER_GROUP: &str = "autoscaling.k8s.io";

/// The kinds that the operator owns, in apply order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OwnedKind {
    /// `v1` ServiceAccount.
    ServiceAccount,
    /// `v1` Secret. Only its metadata is cached.
    Secret,
    /// `v1` Service.
    Service,
    /// `networking.k8s.io/v1` NetworkPolicy.
    NetworkPolicy,
    /// `apps/v1` StatefulSet.
    StatefulSet,
    /// `apps/v1` Deployment.
    Deployment,
    /// `policy/v1` PodDisruptionBudget.
    PodDisruptionBudget,
    /// `autoscaling/v2` HorizontalPodAutoscaler.
    HorizontalPodAutoscaler,
    /// `networking.k8s.io/v1` Ingress.
    Ingress,
    /// `v1` ConfigMap.
    ConfigMap,
    /// `monitoring.coreos.com/v1` PodMonitor.
    PodMonitor,
    /// `monitoring.coreos.com/v1` PrometheusRule.
    PrometheusRule,
    /// `autoscaling.k8s.io/v1` VerticalPodAutoscaler.
    VerticalPodAutoscaler,
}

impl OwnedKind {
    /// All of them in apply order: dependencies come first.
    pub const ALL: [Self; 13] = [
        Self::ServiceAccount,
        Self::Secret,
        Self::Service,
        Self::NetworkPolicy,
        Self::StatefulSet,
        Self::Deployment,
        Self::PodDisruptionBudget,
        Self::HorizontalPodAutoscaler,
        Self::Ingress,
        Self::ConfigMap,
        Self::PodMonitor,
        Self::PrometheusRule,
        Self::VerticalPodAutoscaler,
    ];

    /// Group, version, kind and plural for the dynamic client.
    #[must_use]
    pub fn api_resource(self) -> ApiResource {
        let (group, version, kind, plural) = match self {
            Self::ServiceAccount => ("", "v1", "ServiceAccount", "serviceaccounts"),
            Self::Secret => ("", "v1", "Secret", "secrets"),
            Self::Service => ("", "v1", "Service", "services"),
            Self::NetworkPolicy => ("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies"),
            Self::StatefulSet => ("apps", "v1", "StatefulSet", "statefulsets"),
            Self::Deployment => ("apps", "v1", "Deployment", "deployments"),
            Self::PodDisruptionBudget => ("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets"),
            Self::HorizontalPodAutoscaler => {
                ("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")
            }
            Self::Ingress => ("networking.k8s.io", "v1", "Ingress", "ingresses"),
            Self::ConfigMap => ("", "v1", "ConfigMap", "configmaps"),
            Self::PodMonitor => (MONITORING_GROUP, "v1", "PodMonitor", "podmonitors"),
            Self::PrometheusRule => (MONITORING_GROUP, "v1", "PrometheusRule", "prometheusrules"),
            Self::VerticalPodAutoscaler => {
                (AUTOSCALER_GROUP, "v1", "VerticalPodAutoscaler", "verticalpodautoscalers")
            }
        };
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
    }

    /// Whether a cluster may lack this kind.
    ///
    /// It belongs to the Prometheus operator or the vertical autoscaler, which are optional.
    #[must_use]
    pub fn may_be_missing(self) -> bool {
        matches!(self, Self::PodMonitor | Self::PrometheusRule | Self::VerticalPodAutoscaler)
    }

    /// Whether fields of the spec enable objects of this kind.
    ///
    /// The operator also deletes such objects.
    #[must_use]
    pub fn is_optional(self) -> bool {
        !matches!(self, Self::ServiceAccount | Self::Secret | Self::Deployment)
    }
}

/// One object of a blog, by its role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Child {
    /// Identity of the blog's pods, without API permissions and without a token.
    ServiceAccount,
    /// Database credentials, created once. They live as long as the data.
    DatabaseSecret,
    /// Cookie signing keys, current and previous.
    SessionSecret,
    /// MySQL's certificate and its CA.
    DatabaseCertificates,
    /// Headless Service of MySQL.
    DatabaseService,
    /// The Service in front of the replicas.
    AppService,
    /// Allows only the blog's connections to MySQL.
    DatabasePolicy,
    /// Allows only connections to the blog's two ports.
    AppPolicy,
    /// MySQL.
    Database,
    /// The blog.
    App,
    /// Keeps a replica available during node drains, with two replicas or more.
    DisruptionBudget,
    /// Scales the replicas by load, if the spec enables it.
    Autoscaler,
    /// Routes a host name to the blog, if the spec sets one.
    Ingress,
    /// The Grafana dashboard, if the spec enables it.
    Dashboard,
    /// Makes Prometheus scrape the blog's metrics, if the spec enables it.
    Monitor,
    /// Alerts, if the spec enables them.
    Alerts,
    /// Recommends MySQL's resources, if the spec enables it. It changes nothing by itself.
    Recommendation,
}

impl Child {
    /// All of them in apply order.
    pub const ALL: [Self; 17] = [
        Self::ServiceAccount,
        Self::DatabaseSecret,
        Self::SessionSecret,
        Self::DatabaseCertificates,
        Self::DatabaseService,
        Self::AppService,
        Self::DatabasePolicy,
        Self::AppPolicy,
        Self::Database,
        Self::App,
        Self::DisruptionBudget,
        Self::Autoscaler,
        Self::Ingress,
        Self::Dashboard,
        Self::Monitor,
        Self::Alerts,
        Self::Recommendation,
    ];

    /// The kind of this object.
    #[must_use]
    pub fn kind(self) -> OwnedKind {
        match self {
            Self::ServiceAccount => OwnedKind::ServiceAccount,
            Self::DatabaseSecret | Self::SessionSecret | Self::DatabaseCertificates => OwnedKind::Secret,
            Self::DatabaseService | Self::AppService => OwnedKind::Service,
            Self::DatabasePolicy | Self::AppPolicy => OwnedKind::NetworkPolicy,
            Self::Database => OwnedKind::StatefulSet,
            Self::App => OwnedKind::Deployment,
            Self::DisruptionBudget => OwnedKind::PodDisruptionBudget,
            Self::Autoscaler => OwnedKind::HorizontalPodAutoscaler,
            Self::Ingress => OwnedKind::Ingress,
            Self::Dashboard => OwnedKind::ConfigMap,
            Self::Monitor => OwnedKind::PodMonitor,
            Self::Alerts => OwnedKind::PrometheusRule,
            Self::Recommendation => OwnedKind::VerticalPodAutoscaler,
        }
    }

    /// The object's name, for a blog called `blog`.
    #[must_use]
    pub fn name(self, blog: &str) -> String {
        match self {
            Self::DatabaseSecret
            | Self::DatabaseService
            | Self::DatabasePolicy
            | Self::Database
            | Self::Recommendation => format!("{blog}-mysql"),
            Self::SessionSecret => format!("{blog}-session"),
            // Not `-tls`, a common name for the certificate of an Ingress.
            Self::DatabaseCertificates => format!("{blog}-mysql-tls"),
            Self::Dashboard => format!("{blog}-dashboard"),
            Self::ServiceAccount
            | Self::AppService
            | Self::AppPolicy
            | Self::App
            | Self::DisruptionBudget
            | Self::Autoscaler
            | Self::Ingress
            | Self::Monitor
            | Self::Alerts => blog.to_owned(),
        }
    }

    /// The component that it belongs to.
    #[must_use]
    pub fn component(self) -> Component {
        match self {
            Self::DatabaseSecret
            | Self::DatabaseCertificates
            | Self::DatabaseService
            | Self::DatabasePolicy
            | Self::Database
            | Self::Recommendation => Component::Database,
            _ => Component::App,
        }
    }

    /// The objects that must exist before this one is created.
    #[must_use]
    pub fn prerequisites(self) -> &'static [Self] {
        match self {
            Self::Database => &[Self::DatabaseSecret, Self::DatabaseCertificates],
            Self::App => {
                &[Self::ServiceAccount, Self::DatabaseSecret, Self::SessionSecret, Self::DatabaseCertificates]
            }
            Self::Autoscaler => &[Self::App],
            Self::Recommendation => &[Self::Database],
            _ => &[],
        }
    }

    /// Whether it lives as long as the data instead of the FlaskBlog.
    #[must_use]
    pub fn outlives_the_blog(self) -> bool {
        matches!(self, Self::DatabaseSecret | Self::SessionSecret)
    }
}

/// The value of `app.kubernetes.io/component`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Component {
    /// The web application.
    App,
    /// MySQL.
    Database,
}

impl Component {
    /// The label's value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Database => "database",
        }
    }
}

/// Name of the PVC of a blog's only MySQL pod.
#[must_use]
pub fn data_claim(blog: &str) -> String {
    format!("data-{blog}-mysql-0")
}

/// Name of a blog's only MySQL pod.
#[must_use]
pub fn database_pod(blog: &str) -> String {
    format!("{blog}-mysql-0")
}

/// Labels of an object of a blog.
#[must_use]
pub fn labels(blog: &str, component: Component) -> BTreeMap<String, String> {
    let mut labels = selector(blog, component);
    labels.insert("app.kubernetes.io/part-of".into(), APP_NAME.into());
    labels.insert("app.kubernetes.io/managed-by".into(), MANAGER.into());
    labels
}

/// The immutable part of [`labels`], which selectors use.
#[must_use]
pub fn selector(blog: &str, component: Component) -> BTreeMap<String, String> {
    [("name", APP_NAME), ("instance", blog), ("component", component.as_str())]
        .map(|(key, value)| (format!("app.kubernetes.io/{key}"), value.to_owned()))
        .into()
}

/// [`selector`] as text for `kubectl -l` and the scale subresource.
#[must_use]
pub fn selector_text(blog: &str, component: Component) -> String {
    selector(blog, component)
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect::<Vec<_>>()
        .join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_are_listed_in_the_apply_order_of_their_kinds() {
        let kinds: Vec<_> = Child::ALL.iter().map(|child| child.kind()).collect();
        assert!(kinds.is_sorted(), "{kinds:?}");
        assert!(OwnedKind::ALL.iter().all(|kind| kinds.contains(kind)), "a kind without a child: {kinds:?}");
    }

    #[test]
    fn prerequisites_come_earlier_in_the_apply_order() {
        for child in Child::ALL {
            // A VerticalPodAutoscaler doesn't own the pods that it measures, so its order is free.
            assert!(child.prerequisites().iter().all(|needed| *needed < child), "{child:?}");
        }
    }

    #[test]
    fn no_two_children_share_kind_and_name() {
        let mut seen = std::collections::BTreeSet::new();
        for child in Child::ALL {
            assert!(seen.insert((child.kind(), child.name("x"))), "{child:?} has a twin");
        }
    }

    #[test]
    fn the_longest_allowed_name_keeps_every_child_within_label_bounds() {
        let longest = "x".repeat(crate::v1alpha1::NAME_LIMIT);
        // A StatefulSet's pods have a label `controller-revision-hash: NAME-HASH`, with ten characters of hash and a limit of
        // 63.
        assert!(Child::Database.name(&longest).len() + 11 <= 63);
        assert!(data_claim(&longest).len() <= 63);
    }
}
