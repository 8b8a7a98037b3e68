//! Step 2 (no client required): turns the spec and the observed state into a [`Plan`], or an error.

mod database;
pub mod node_port;
mod ownership;
pub mod rotations;
mod stages;
mod volume;

use std::collections::BTreeMap;

use flaskblog_api::{Child, FlaskBlog, RolloutPolicy, children::DEFAULT_IMAGE};
use kube::ResourceExt;

use self::{
    database::{check_version, template_size},
    ownership::{check_claim, check_claim_owners, check_credentials, check_deletion},
    stages::stage,
    volume::check_volume,
};
pub use self::{
    database::{mysql_image, tag_of},
    ownership::separate_foreign,
    volume::{bound_volume, forgets_volume, recorded_volume},
};
use crate::{
    model::{
        blog_meta::BlogMeta,
        error::Invalid,
        observed::Observed,
        plan::{AppPlan, Approval, DatabasePlan, HibernationPhase, ManagedPlan, MonitoringPlan, Plan},
        settings::Settings,
    },
    reconcile::validate::{
        node_port::remembered_node_port,
        rotations::{last_rotation, template_annotation},
    },
};

/// Turns the spec into a plan.
///
/// # Errors
/// [`Invalid::WaitingForCleanup`] while the volume of an earlier blog is being deleted.
pub fn validate(
    blog: &FlaskBlog,
    id: &BlogMeta,
    observed: &Observed,
    settings: &Settings,
) -> Result<Plan, Invalid> {
    let spec = &blog.spec;
    let stage = stage(spec, observed);
    let autoscaling = spec.autoscaling.clone().filter(|_| stage == HibernationPhase::Running);
    let (image, default_image) = app_image(blog, observed, &settings.blog_image);
    Ok(Plan {
        id: id.clone(),
        refused: refused(blog, id, observed)?,
        database: database_plan(blog, observed, stage),
        app: AppPlan {
            replicas: match (stage, &autoscaling) {
                (HibernationPhase::Running, Some(_)) => None,
                (HibernationPhase::Running, None) => Some(spec.replicas),
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

/// Omits the kinds that the cluster lacks. The rest of the blog doesn't depend on them.
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

/// The objects that must keep their state, with the first reason found.
fn refused(
    blog: &FlaskBlog,
    id: &BlogMeta,
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
        // New passwords would not match the data.
        refuse(Child::DatabaseSecret, why.clone());
        refuse(Child::Database, why);
    }
    if let Err(why) = check_claim_owners(id, observed) {
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

fn database_plan(blog: &FlaskBlog, observed: &Observed, stage: HibernationPhase) -> DatabasePlan {
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
        replicas: i32::from(stage != HibernationPhase::Stopped),
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

/// The blog's image, and the default one to remember.
///
/// Without an image in the spec it is the default one at creation, as Deployment or status record it, else this release's. So a
/// new operator release restarts no blog by itself.
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
