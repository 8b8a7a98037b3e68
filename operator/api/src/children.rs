//! Everything that is made for one blog: one list that drives watches, apply order, prune and the RBAC test.

use std::collections::BTreeMap;

use kube::core::{ApiResource, GroupVersionKind};

/// Who writes: the field manager of server-side apply and the value of `managed-by`.
pub const MANAGER: &str = "flaskblog-operator";
/// The value of `app.kubernetes.io/name` and `part-of`.
pub const APP_NAME: &str = "flaskblog";
/// Selects every object that the operator made, whoever it is for.
pub const MANAGED_SELECTOR: &str = "app.kubernetes.io/managed-by=flaskblog-operator";
/// On each child: hash of what the operator last wanted, so that a field that it no longer wants is noticed.
pub const DESIRED_HASH: &str = "flaskblog.dev/desired-hash";
/// On the Deployment: the default image that a blog without `spec.image` was first given.
pub const DEFAULT_IMAGE: &str = "flaskblog.dev/default-image";

/// The kinds that the operator owns, in the order in which they are applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OwnedKind {
    /// `v1` ServiceAccount.
    ServiceAccount,
    /// `v1` Secret; only its metadata is ever read.
    Secret,
    /// `v1` Service.
    Service,
    /// `apps/v1` StatefulSet.
    StatefulSet,
    /// `apps/v1` Deployment.
    Deployment,
    /// `policy/v1` PodDisruptionBudget.
    PodDisruptionBudget,
}

impl OwnedKind {
    /// All of them, in apply order: what others need comes first.
    pub const ALL: [Self; 6] = [
        Self::ServiceAccount,
        Self::Secret,
        Self::Service,
        Self::StatefulSet,
        Self::Deployment,
        Self::PodDisruptionBudget,
    ];

    /// Group, version, kind and plural, as the dynamic client wants them.
    #[must_use]
    pub fn api_resource(self) -> ApiResource {
        let (group, kind, plural) = match self {
            Self::ServiceAccount => ("", "ServiceAccount", "serviceaccounts"),
            Self::Secret => ("", "Secret", "secrets"),
            Self::Service => ("", "Service", "services"),
            Self::StatefulSet => ("apps", "StatefulSet", "statefulsets"),
            Self::Deployment => ("apps", "Deployment", "deployments"),
            Self::PodDisruptionBudget => ("policy", "PodDisruptionBudget", "poddisruptionbudgets"),
        };
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, "v1", kind), plural)
    }
}

/// One object of a blog, by its role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Child {
    /// Identity of the blog's pods; no API rights, no token.
    ServiceAccount,
    /// Database credentials; created once, lives as long as the data.
    DatabaseSecret,
    /// Cookie signing keys, current and previous.
    SessionSecret,
    /// Headless Service of MySQL.
    DatabaseService,
    /// The Service that people reach.
    AppService,
    /// MySQL.
    Database,
    /// The blog.
    App,
    /// Keeps a replica up while nodes are drained; from two replicas on.
    DisruptionBudget,
}

impl Child {
    /// All of them, in apply order.
    pub const ALL: [Self; 8] = [
        Self::ServiceAccount,
        Self::DatabaseSecret,
        Self::SessionSecret,
        Self::DatabaseService,
        Self::AppService,
        Self::Database,
        Self::App,
        Self::DisruptionBudget,
    ];

    /// What kind of object plays this role.
    #[must_use]
    pub fn kind(self) -> OwnedKind {
        match self {
            Self::ServiceAccount => OwnedKind::ServiceAccount,
            Self::DatabaseSecret | Self::SessionSecret => OwnedKind::Secret,
            Self::DatabaseService | Self::AppService => OwnedKind::Service,
            Self::Database => OwnedKind::StatefulSet,
            Self::App => OwnedKind::Deployment,
            Self::DisruptionBudget => OwnedKind::PodDisruptionBudget,
        }
    }

    /// Its name, for a blog called `blog`.
    #[must_use]
    pub fn name(self, blog: &str) -> String {
        match self {
            Self::DatabaseSecret | Self::DatabaseService | Self::Database => format!("{blog}-mysql"),
            Self::SessionSecret => format!("{blog}-session"),
            Self::ServiceAccount | Self::AppService | Self::App | Self::DisruptionBudget => blog.to_owned(),
        }
    }

    /// Which half of the blog it belongs to.
    #[must_use]
    pub fn component(self) -> Component {
        match self {
            Self::DatabaseSecret | Self::DatabaseService | Self::Database => Component::Database,
            _ => Component::App,
        }
    }

    /// Whether it lives as long as the data rather than as long as the resource.
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
    fn as_str(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Database => "database",
        }
    }
}

/// The PersistentVolumeClaim of the only MySQL pod of a blog.
#[must_use]
pub fn data_claim(blog: &str) -> String {
    format!("data-{blog}-mysql-0")
}

/// The only MySQL pod of a blog.
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

/// [`selector`] as the text that `kubectl -l` and the scale subresource take.
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
    fn no_two_children_share_kind_and_name() {
        let mut seen = std::collections::BTreeSet::new();
        for child in Child::ALL {
            assert!(seen.insert((child.kind(), child.name("x"))), "{child:?} has a twin");
        }
    }

    #[test]
    fn the_longest_allowed_name_keeps_every_child_within_label_bounds() {
        let longest = "x".repeat(crate::v1alpha1::NAME_LIMIT);
        // A StatefulSet's pods carry `controller-revision-hash: NAME-HASH`, ten characters of hash, in a label of 63.
        assert!(Child::Database.name(&longest).len() + 11 <= 63);
        assert!(data_claim(&longest).len() <= 63);
    }
}
