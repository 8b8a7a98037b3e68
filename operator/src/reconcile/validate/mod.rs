//! Step 2 (no client required): the spec and what exists become a [`Plan`], or a reason why not.

mod database;
mod ownership;
mod stages;
mod volume;

use std::collections::BTreeMap;

use flaskblog_api::{
    Autoscaling, Child, DeletionPolicy, ExternalDatabase, FlaskBlog, ImagePullPolicy, Ingress,
    ManagedDatabase, Markup, Monitoring, OwnedKind, PodTemplate, Registration, Resources, RolloutPolicy,
    Service, children::DEFAULT_IMAGE,
};
use kube::ResourceExt;

use self::{
    database::{check_version, template_size},
    ownership::{check_claim, check_credentials, check_deletion},
    stages::stage,
    volume::check_volume,
};
pub use self::{
    database::{mysql_image, tag_of},
    ownership::separate_foreign,
    volume::{bound_volume, forgets_volume, recorded_volume},
};
use crate::{
    model::{blog_meta::Identity, error::Invalid, settings::Settings},
    reconcile::{
        actions::{
            node_port::remembered_node_port,
            secret_rotation::{last_rotation, template_annotation},
        },
        desired::{Desired, Objects},
        observe::Observed,
    },
};

/// What we mean: everything that the builders need, and nothing that they could misuse.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Who the blog is.
    pub id: Identity,
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
    pub stage: Stage,
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
pub enum Stage {
    /// Up, or on its way there, with everything at once.
    Awake,
    /// The replicas are ending.
    FallingAsleep,
    /// The replicas are gone; the database goes or is gone.
    Asleep,
    /// The database is coming; the replicas wait for it.
    Waking,
}

/// Whether restarts need a person's word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Approval {
    /// They don't.
    NotNeeded,
    /// They do, and this is what was approved last.
    Given(Option<String>),
}

/// Turns the spec into a plan.
///
/// # Errors
/// [`Invalid::WaitingForCleanup`] while the volume of an earlier blog is being deleted.
pub fn validate(
    blog: &FlaskBlog,
    id: &Identity,
    observed: &Observed,
    settings: &Settings,
) -> Result<Plan, Invalid> {
    let spec = &blog.spec;
    let stage = stage(spec, observed);
    let autoscaling = spec.autoscaling.clone().filter(|_| stage == Stage::Awake);
    let (image, default_image) = app_image(blog, observed, &settings.blog_image);
    Ok(Plan {
        id: id.clone(),
        refused: refused(blog, id, observed)?,
        database: database_plan(blog, observed, stage),
        app: AppPlan {
            replicas: match (stage, &autoscaling) {
                (Stage::Awake, Some(_)) => None,
                (Stage::Awake, None) => Some(spec.replicas),
                _ => Some(0),
            },
            image,
            default_image,
            image_pull_policy: spec.image_pull_policy,
            title: spec.title.clone(),
            registration: spec.registration,
            markup: spec.markup,
            service: spec.service.clone(),
            remembered_node_port: remembered_node_port(blog, observed),
            ingress: spec.ingress.clone(),
            resources: spec.resources.clone(),
            pod_template: spec.pod_template.clone().unwrap_or_default(),
            autoscaling,
            rotations: rotations(observed),
        },
        deletion_policy: spec.deletion_policy,
        network_policy: spec.network_policy.enabled,
        monitoring: monitoring(blog, observed, settings),
        stage,
        approval: approval(blog),
    })
}

/// Without the kinds that the cluster lacks: the rest of the blog is none the worse for them.
fn monitoring(blog: &FlaskBlog, observed: &Observed, settings: &Settings) -> MonitoringPlan {
    let mut wanted = blog.spec.monitoring.clone().unwrap_or_default();
    let mut missing = Vec::new();
    for (role, flag) in
        [(Child::Monitor, &mut wanted.service_monitor), (Child::Alerts, &mut wanted.prometheus_rule)]
    {
        if *flag && observed.missing_kinds.contains(&role.kind()) {
            *flag = false;
            missing.push(role.kind());
        }
    }
    MonitoringPlan { wanted, missing, runbooks: settings.runbooks.clone() }
}

/// The objects that must keep their state, with the reason that was found first.
fn refused(
    blog: &FlaskBlog,
    id: &Identity,
    observed: &Observed,
) -> Result<BTreeMap<Child, Invalid>, Invalid> {
    let mut refused = observed.foreign.clone();
    let mut refuse = |role: Child, why: Invalid| {
        refused.entry(role).or_insert(why);
    };
    for (role, object) in &observed.children {
        check_deletion(id, *role, object).unwrap_or_else(|why| refuse(*role, why));
    }
    if let Some(external) = &blog.spec.database.external {
        if observed.external_secret_missing {
            let name = external.credentials_secret.clone();
            refuse(Child::App, Invalid::ExternalSecretMissing { name, namespace: id.namespace.clone() });
        }
        return Ok(refused);
    }
    let spec = blog.spec.database.managed.clone().unwrap_or_default();
    if let Err(why) = check_claim(id, observed, &spec.storage) {
        // New passwords would not be those of the data.
        refuse(Child::DatabaseSecret, why.clone());
        refuse(Child::Database, why);
    }
    if let Err(why) = check_volume(blog, id, observed) {
        refuse(Child::Database, why);
    }
    match check_credentials(blog, id, observed) {
        Ok(()) => {}
        Err(waiting @ Invalid::WaitingForCleanup { .. }) => return Err(waiting),
        Err(missing) => refuse(Child::DatabaseSecret, missing),
    }
    if let Err(why) = check_version(blog, id, observed, &spec.image) {
        refuse(Child::Database, why);
    }
    Ok(refused)
}

fn database_plan(blog: &FlaskBlog, observed: &Observed, stage: Stage) -> DatabasePlan {
    if let Some(external) = &blog.spec.database.external {
        return DatabasePlan::External(external.clone());
    }
    let spec = blog.spec.database.managed.clone().unwrap_or_default();
    let template_size = template_size(observed, &spec.storage);
    let recommender = Child::Recommendation.kind();
    DatabasePlan::Managed(ManagedPlan {
        recommender_missing: spec.recommend_resources && observed.missing_kinds.contains(&recommender),
        spec,
        template_size,
        replicas: i32::from(stage != Stage::Asleep),
    })
}

fn rotations(observed: &Observed) -> BTreeMap<String, String> {
    [Child::DatabaseSecret, Child::SessionSecret]
        .into_iter()
        .filter_map(|role| Some((template_annotation(role).to_owned(), last_rotation(observed, role)?)))
        .collect()
}

fn approval(blog: &FlaskBlog) -> Approval {
    match blog.spec.rollout_policy {
        RolloutPolicy::Immediate => Approval::NotNeeded,
        RolloutPolicy::Manual => {
            Approval::Given(blog.annotations().get(flaskblog_api::children::APPROVE).cloned())
        }
    }
}

/// The image that the spec names; else the default one that this blog got when it was made, which its Deployment
/// remembers, and where somebody has deleted that, its status; else the one of this release. So a new operator release
/// restarts no blog by itself.
fn app_image(blog: &FlaskBlog, observed: &Observed, release: &str) -> (String, Option<String>) {
    if let Some(image) = &blog.spec.image {
        return (image.clone(), None);
    }
    let remembered = match observed.children.get(&Child::App) {
        Some(deployment) => deployment.annotations().get(DEFAULT_IMAGE),
        None => blog.status.as_ref().and_then(|status| status.image.as_ref()),
    };
    let image = remembered.map_or(release, String::as_str);
    (image.to_owned(), Some(image.to_owned()))
}
