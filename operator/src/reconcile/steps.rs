//! Steps of a reconcile that consist of smaller ones.

use flaskblog_api::FlaskBlog;
use k8s_openapi::jiff::Timestamp;

use super::{
    actions::{
        certificates::renew,
        renamed_annotations::rename_annotations,
        secret_rotation::{root_waits, rotate, steps},
        volume_expansion::VolumeExpansion,
    },
    apply::apply,
    desired::desired_over,
    diff::{BlockedRollouts, held, pending},
    status::Reconciled,
    validate::validate,
};
use crate::{
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

/// Takes due rotations and renewals, which depend only on their Secrets.
///
/// # Errors
/// [`Error`] of the first step that the others depend on.
pub async fn maintain_secrets(
    blog: &FlaskBlog,
    id: &BlogMeta,
    ctx: &Context,
    observed: &Observed,
    applied: &Objects<Applied>,
    changes: &mut Vec<Change>,
    refusals: &mut Refusals,
) -> Result<(), Error> {
    let is_failing = matches!(observed.replica_report, Some(ReplicaReport::Failing { .. }));
    let now = Timestamp::now();
    let renamed = refusals.collect(rename_annotations(ctx, id, applied).await)?; // client required
    if renamed != Some(true) {
        return Ok(());
    }
    let steps = steps(blog, applied, now); // no client required
    ctx.pace.plan(&id.uid, root_waits(blog, applied, now));
    refusals.collect(rotate(ctx, id, steps, changes).await)?; // client required
    refusals.collect(renew(ctx, id, blog, applied, is_failing, now, changes).await)?; // client required
    Ok(())
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
    let suspended = pending(&plan, &wanted, &observed).iter().map(ToString::to_string).collect();
    let applied = Objects::applied(observed.children.clone());
    let (growth, held, contested) = (VolumeExpansion::None, Vec::new(), Vec::new());
    let (contested_service, suspended) = (None, Some(suspended));
    Ok(Reconciled {
        observed,
        plan,
        applied,
        growth,
        held,
        contested,
        contested_service,
        suspended,
        refusals,
    })
}
