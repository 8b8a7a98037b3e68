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

use flaskblog_api::{Child, FlaskBlog};

use self::{
    actions::{
        certificates::show_not_after,
        node_port::record_node_port,
        owner_references::{
            add_owner_references, forget_volume, record_served_data, remove_owner_references,
        },
        volume_expansion::{VolumeExpansion, expand_volume},
    },
    apply::delete_stuck_pod,
    observe::observe,
    status::Reconciled,
    steps::{apply_plan, dry_run, maintain_secrets},
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
    let policy = blog.spec.deletion_policy;
    refusals.collect(remove_owner_references(ctx, id, policy, &observed).await)?; // client required
    refusals.collect(forget_volume(ctx, id, blog, &observed).await)?; // client required
    let plan = validate(blog, id, &observed, &ctx.settings)?; // no client required
    let (applied, held) = apply_plan(ctx, id, &plan, &observed, changes, &mut refusals).await?; // client required
    if !plan.refused.contains_key(&Child::Database) {
        refusals.collect(delete_stuck_pod(ctx, id, &observed, &applied, changes).await)?; // client required
    }
    refusals.collect(add_owner_references(ctx, id, policy, &observed).await)?; // client required
    refusals.collect(record_node_port(ctx, id, policy, &applied).await)?; // client required
    refusals.collect(record_served_data(ctx, id, blog, &observed, &applied).await)?; // client required
    let storage = plan.database.managed().map(|managed| &managed.spec.storage);
    let growth = refusals.collect(expand_volume(ctx, id, storage, &observed).await)?; // client required
    maintain_secrets(blog, id, ctx, &observed, &applied, changes, &mut refusals).await?; // client required
    let (growth, held) = (growth.unwrap_or(VolumeExpansion::None), held.lines);
    let contested = ctx.contests.words(&id.uid);
    let contested_service = ctx.contests.words_on_spec(&id.uid, Child::AppService);
    Ok(Reconciled {
        observed,
        plan,
        applied,
        growth,
        held,
        contested,
        contested_service,
        suspended: None,
        refusals,
    })
}
