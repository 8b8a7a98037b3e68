//! The plan: everything that the builders need, and nothing that they could misuse.

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

/// What we mean: everything that the builders need, and nothing that they could misuse.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Who the blog is.
    pub id: BlogMeta,
    /// The blog.
    pub app: AppPlan,
    /// Its database.
    pub database: DatabasePlan,
    /// Whether data and credentials outlive the resource.
    pub deletion_policy: DeletionPolicy,
    /// Whether network policies are made.
    pub network_policy: bool,
    /// What Prometheus and Grafana are told.
    pub monitoring: MonitoringPlan,
    /// How far a blog that goes to sleep or wakes has come.
    pub stage: HibernationPhase,
    /// The restarts that a person has approved, if those need approval at all.
    pub approval: Approval,
    /// Objects that are not written, and why. Objects that don't need them are.
    pub refused: BTreeMap<Child, Invalid>,
}

/// The web application.
#[derive(Clone, Debug, PartialEq)]
pub struct AppPlan {
    /// How many pods; nothing if an autoscaler says so.
    pub replicas: Option<i32>,
    /// Which image.
    pub image: String,
    /// The default image that the blog was first given, if the spec names none.
    pub default_image: Option<String>,
    /// When nodes pull it.
    pub image_pull_policy: ImagePullPolicy,
    /// Title in the page header.
    pub title: String,
    /// Whether visitors may register.
    pub registration: Registration,
    /// How bodies of posts are read.
    pub markup: Markup,
    /// How it is reached.
    pub service: Service,
    /// The node port that it had last, if the spec pins none.
    pub remembered_node_port: Option<i32>,
    /// The host name that leads to it.
    pub ingress: Option<Ingress>,
    /// What each pod may use, if the user said so.
    pub resources: Option<Resources>,
    /// What else the pods carry, and where they run.
    pub pod_template: PodTemplate,
    /// The bounds of the autoscaler.
    pub autoscaling: Option<Autoscaling>,
    /// Which rotations of passwords and keys the pods must have started after, as annotations.
    pub rotations: BTreeMap<String, String>,
}

impl AppPlan {
    /// The fewest replicas that there will be once the blog is up.
    #[must_use]
    pub fn fewest_replicas(&self) -> i32 {
        self.replicas.or(self.autoscaling.as_ref().map(|wanted| wanted.min_replicas)).unwrap_or(1)
    }
}

/// What Prometheus and Grafana are told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MonitoringPlan {
    /// What the spec asks for and the cluster can take.
    pub wanted: Monitoring,
    /// The kinds that the spec asks for and the cluster lacks.
    pub missing: Vec<OwnedKind>,
    /// Where the runbooks are.
    pub runbooks: String,
}

/// Where the data is.
#[derive(Clone, Debug, PartialEq)]
pub enum DatabasePlan {
    /// In a MySQL of the blog's own.
    Managed(ManagedPlan),
    /// On a server that somebody else runs.
    External(ExternalDatabase),
}

impl Plan {
    /// The reasons for objects that are wanted and not written.
    pub fn refused_of<'a>(&'a self, wanted: &'a Objects<Desired>) -> impl Iterator<Item = &'a Invalid> {
        self.refused.iter().filter(|(role, _)| wanted.get(**role).is_some()).map(|(_, why)| why)
    }

    /// Whether the spec asks for a kind that the cluster lacks.
    #[must_use]
    pub fn misses_a_kind(&self) -> bool {
        !self.monitoring.missing.is_empty()
            || self.database.managed().is_some_and(|one| one.recommender_missing)
    }
}

impl DatabasePlan {
    /// The plan of the blog's own MySQL, if it has one.
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
    /// What the spec says.
    pub spec: ManagedDatabase,
    /// How many pods: 1, or 0 in hibernation.
    pub replicas: i32,
    /// The size that the StatefulSet's template names: the spec's, once the claim has it.
    pub template_size: String,
    /// The spec asks for a recommendation of its resources, and the cluster lacks the kind that it takes.
    pub recommender_missing: bool,
}

/// How far a blog that goes to sleep or wakes has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HibernationPhase {
    /// Up, or on its way there, with everything at once.
    Running,
    /// The replicas are ending.
    Stopping,
    /// The replicas are gone; the database goes or is gone.
    Stopped,
    /// The database is coming; the replicas wait for it.
    Starting,
}

/// Whether restarts need a person's word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Approval {
    /// They don't.
    NotNeeded,
    /// They do, and this is what was approved last.
    Given(Option<String>),
}
