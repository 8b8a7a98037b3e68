//! The plan: the validated input of the builders.

use std::collections::BTreeMap;

use flaskblog_api::{
    Autoscaling, Child, DeletionPolicy, ExternalDatabase, ImagePullPolicy, Ingress, ManagedDatabase, Markup,
    Monitoring, OwnedKind, PodTemplate, Registration, Resources, Service,
};

use super::{
    blog_meta::BlogMeta,
    error::Invalid,
    objects::{Desired, Objects},
};

/// The desired state of a blog, validated for the builders.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Identity of the blog.
    pub id: BlogMeta,
    /// The blog.
    pub app: AppPlan,
    /// Its database.
    pub database: DatabasePlan,
    /// Whether data and credentials outlive the FlaskBlog.
    pub deletion_policy: DeletionPolicy,
    /// Whether network policies are created.
    pub network_policy: bool,
    /// Prometheus and Grafana integration.
    pub monitoring: MonitoringPlan,
    /// Progress of hibernating or resuming.
    pub stage: HibernationPhase,
    /// The restarts that a user has approved, if restarts need approval.
    pub approval: Approval,
    /// Objects that are not written, with the error. Objects that don't depend on them are.
    pub refused: BTreeMap<Child, Invalid>,
}

/// The web application.
#[derive(Clone, Debug, PartialEq)]
pub struct AppPlan {
    /// Number of pods, or `None` with an autoscaler.
    pub replicas: Option<i32>,
    /// Its image.
    pub image: String,
    /// The blog's first default image, if the spec names none.
    pub default_image: Option<String>,
    /// Its image pull policy.
    pub image_pull_policy: ImagePullPolicy,
    /// Title in the page header.
    pub title: String,
    /// Whether visitors may register.
    pub registration: Registration,
    /// Markup language of posts.
    pub markup: Markup,
    /// Its Service.
    pub service: Service,
    /// The last node port, if the spec pins none.
    pub remembered_node_port: Option<i32>,
    /// Its Ingress.
    pub ingress: Option<Ingress>,
    /// Resources of each pod, if the spec sets them.
    pub resources: Option<Resources>,
    /// Additions to the pods and their scheduling.
    pub pod_template: PodTemplate,
    /// The bounds of the autoscaler.
    pub autoscaling: Option<Autoscaling>,
    /// Annotations with the rotations after which the pods must have started.
    pub rotations: BTreeMap<String, String>,
}

impl AppPlan {
    /// The lowest replica count of a running blog.
    #[must_use]
    pub fn fewest_replicas(&self) -> i32 {
        self.replicas.or(self.autoscaling.as_ref().map(|wanted| wanted.min_replicas)).unwrap_or(1)
    }
}

/// Prometheus and Grafana integration.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MonitoringPlan {
    /// The part of the spec that the cluster supports.
    pub wanted: Monitoring,
    /// The kinds that the spec enables and the cluster lacks.
    pub missing: Vec<OwnedKind>,
    /// Base URL of the runbooks.
    pub runbooks: String,
}

/// The location of the data.
#[derive(Clone, Debug, PartialEq)]
pub enum DatabasePlan {
    /// In a MySQL that the operator manages.
    Managed(ManagedPlan),
    /// On an external server.
    External(ExternalDatabase),
}

impl Plan {
    /// The errors of desired objects that are not written.
    pub fn refused_of<'a>(&'a self, wanted: &'a Objects<Desired>) -> impl Iterator<Item = &'a Invalid> {
        self.refused.iter().filter(|(role, _)| wanted.get(**role).is_some()).map(|(_, why)| why)
    }

    /// Whether the spec enables a kind that the cluster lacks.
    #[must_use]
    pub fn misses_a_kind(&self) -> bool {
        !self.monitoring.missing.is_empty()
            || self.database.managed().is_some_and(|one| one.recommender_missing)
    }
}

impl DatabasePlan {
    /// The plan of the managed MySQL, if there is one.
    #[must_use]
    pub fn managed(&self) -> Option<&ManagedPlan> {
        match self {
            Self::Managed(plan) => Some(plan),
            Self::External(_) => None,
        }
    }
}

/// The managed MySQL.
#[derive(Clone, Debug, PartialEq)]
pub struct ManagedPlan {
    /// Its spec.
    pub spec: ManagedDatabase,
    /// Number of pods: 1, or 0 in hibernation.
    pub replicas: i32,
    /// Size in the StatefulSet's template: the spec's, once the PVC has it.
    pub template_size: String,
    /// Whether the cluster lacks the kind of requested resource recommendations.
    pub recommender_missing: bool,
}

/// Progress of hibernating or resuming.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HibernationPhase {
    /// Running, or starting with everything at once.
    Running,
    /// The replicas are terminating.
    Stopping,
    /// The replicas are gone, and the database is stopping or stopped.
    Stopped,
    /// The database is starting, and the replicas wait for it.
    Starting,
}

/// Whether restarts need a user's approval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Approval {
    /// They don't.
    NotNeeded,
    /// They do, and this was approved last.
    Given(Option<String>),
}
