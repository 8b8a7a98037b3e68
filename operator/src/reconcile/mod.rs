//! One reconcile: observe → validate → desired → diff → actions → apply → status.

pub mod actions;
pub mod apply;
pub mod desired;
pub mod diff;
pub mod events;
pub mod observe;
pub mod outcome;
pub mod requeue;
pub mod status;
pub mod steps;
pub mod validate;

use flaskblog_api::FlaskBlog;

use self::{
    actions::{certificates::show_not_after, execute, protecting_actions},
    observe::observe,
    status::Reconciled,
    steps::{act, apply_plan, dry_run},
    validate::{separate_foreign, validate},
};
use crate::{
    context::Context,
    model::{blog_meta::BlogMeta, change::Change, error::Error, refusals::Refusals},
};

/// Brings one blog closer to its spec. `changes` lists the writes, also after an error.
///
/// # Errors
/// [`Error`] of the first step that the others depend on.
pub async fn converge(
    blog: &FlaskBlog,
    id: &BlogMeta,
    ctx: &Context,
    changes: &mut Vec<Change>,
) -> Result<Reconciled, Error> {
    let mut observed = observe(ctx, id, blog).await?; // client required
    separate_foreign(id, &mut observed)?; // no client required
    show_not_after(ctx, id, &observed);
    if blog.spec.suspend {
        return dry_run(blog, id, ctx, observed);
    }
    let mut refusals = Refusals::default();
    let protecting = protecting_actions(blog, id, &observed); // no client required
    execute(ctx, blog, id, protecting, changes, &mut refusals).await?; // client required
    let plan = validate(blog, id, &observed, &ctx.settings)?; // no client required
    let (applied, held) = apply_plan(ctx, id, &plan, &observed, changes, &mut refusals).await?; // client required
    let growth = act(blog, &plan, ctx, &observed, &applied, changes, &mut refusals).await?; // client required
    let (held, contested) = (held.lines, ctx.contests.report(&id.uid));
    Ok(Reconciled { observed, plan, applied, growth, held, contested, suspended: None, refusals })
}
