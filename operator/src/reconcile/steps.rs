//! Steps of a reconcile that consist of smaller ones.

use flaskblog_api::{Child, FlaskBlog};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use super::{
    actions::{
        actions, execute, protecting_actions,
        secret_rotation::root_waits,
        volume_expansion::{VolumeExpansion, volume_expansion},
    },
    apply::apply,
    desired::desired_over,
    diff::{BlockedRollouts, held, pending},
    status::Reconciled,
    validate::validate,
};
use crate::{
    cache::contests::Contested,
    context::Context,
    model::{
        blog_meta::BlogMeta,
        change::Change,
        error::Error,
        objects::{Applied, Objects},
        observed::{Observed, ReplicaReport},
        plan::Plan,
        refusals::Refusals,
    },
};

/// Decides and executes the actions after the apply. Returns the state of the volume's expansion.
///
/// # Errors
/// [`Error`] of the first step that the others depend on.
pub async fn act(
    blog: &FlaskBlog,
    plan: &Plan,
    ctx: &Context,
    observed: &Observed,
    applied: &Objects<Applied>,
    changes: &mut Vec<Change>,
    refusals: &mut Refusals,
) -> Result<VolumeExpansion, Error> {
    let (id, now) = (&plan.id, Timestamp::now());
    let certificates = applied.get(Child::DatabaseCertificates).and_then(ResourceExt::resource_version);
    let is_failing = matches!(observed.replica_report, Some(ReplicaReport::Failing { .. }));
    let is_doubtful = ctx.certificates.has_changed(&id.uid, certificates) || is_failing;
    ctx.pace.plan(&id.uid, root_waits(blog, applied, now));
    let actions = actions(blog, plan, observed, applied, is_doubtful, now); // no client required
    let requested = execute(ctx, blog, id, actions, changes, refusals).await?; // client required
    let storage = plan.database.managed().map(|managed| &managed.spec.storage);
    Ok(requested.unwrap_or_else(|| volume_expansion(id, storage, observed)))
}

/// Applies the plan. Also returns the restarts that wait for approval.
///
/// # Errors
/// [`Error`] of the first step that the others depend on.
pub async fn apply_plan(
    ctx: &Context,
    id: &BlogMeta,
    plan: &Plan,
    observed: &Observed,
    changes: &mut Vec<Change>,
    refusals: &mut Refusals,
) -> Result<(Objects<Applied>, BlockedRollouts), Error> {
    if ctx.converged.matches(plan, observed) {
        return Ok((Objects::applied(observed.children.clone()), BlockedRollouts::default()));
    }
    ctx.converged.forget(&id.uid);
    let wanted = desired_over(plan, &observed.children); // no client required
    let differences = pending(plan, &wanted, observed); // no client required
    let held = held(plan, &wanted, &differences); // no client required
    let applied = apply(ctx, plan, &wanted, observed, &held, changes, refusals).await?; // client required
    if held.lines.is_empty() && refusals.first().is_none() && ctx.contests.next(&id.uid).is_none() {
        ctx.converged.record(plan, applied.by_role());
    }
    Ok((applied, held))
}

/// The state and the pending changes of a suspended blog.
///
/// # Errors
/// [`Error`] of the first step that the others depend on.
pub fn dry_run(
    blog: &FlaskBlog,
    id: &BlogMeta,
    ctx: &Context,
    observed: Observed,
) -> Result<Reconciled, Error> {
    let plan = validate(blog, id, &observed, &ctx.settings)?;
    let wanted = desired_over(&plan, &observed.children);
    let mut refusals = Refusals::default();
    plan.refused_of(&wanted).for_each(|why| refusals.push(why.clone()));
    let applied = Objects::applied(observed.children.clone());
    let differing = pending(&plan, &wanted, &observed);
    let due = due_actions(blog, &plan, &observed, &applied);
    let suspended = differing.iter().map(ToString::to_string).chain(due).collect();
    let (growth, held, contested) = (VolumeExpansion::None, Vec::new(), Contested::default());
    Ok(Reconciled { observed, plan, applied, growth, held, contested, suspended: Some(suspended), refusals })
}

/// One line for each action that an apply would bring (no client required).
pub fn due_actions(
    blog: &FlaskBlog,
    plan: &Plan,
    observed: &Observed,
    applied: &Objects<Applied>,
) -> Vec<String> {
    let mut all = protecting_actions(blog, &plan.id, observed);
    all.extend(actions(blog, plan, observed, applied, false, Timestamp::now()));
    all.iter().map(|action| action.line(&plan.id)).collect()
}
