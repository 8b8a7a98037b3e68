//! One item of the work queue: which version of a blog is reconciled, and when it is requeued.

use std::{
    ops::ControlFlow::{self, Break, Continue},
    sync::Arc,
    time::Duration,
};

use flaskblog_api::FlaskBlog;
use kube::{
    ResourceExt,
    runtime::{
        controller::Action,
        reflector::{ObjectRef, Store},
    },
};
use rand::Rng;

use super::scheduler::Scheduler;
use crate::{
    context::Context,
    model::{
        blog_meta::BlogMeta,
        error::{Error, Invalid},
    },
    reconcile::{
        outcome::{Outcome, reconcile_objects, report},
        requeue::read_workloads,
    },
};

/// Longest requeue delay while objects of an earlier blog are being deleted.
const LONGEST_CLEANUP: Duration = Duration::from_secs(15);

/// Reconciles one blog and returns when to requeue it.
///
/// Objects of all queued blogs are applied before the first status is written. A queued blog is read again from `blogs` when it
/// is scheduled, since it may have changed meanwhile.
///
/// # Errors
/// [`Error`], after it was written to the status and published as an Event.
pub async fn reconcile(
    blog: Arc<FlaskBlog>,
    ctx: Arc<Context>,
    scheduler: Scheduler,
    blogs: Store<FlaskBlog>,
) -> Result<Action, Error> {
    let key = ObjectRef::from_obj(&*blog);
    let begun = scheduler.run_apply(|| begin(blogs.get(&key), &ctx)).await;
    let outcome = match begun.unwrap_or(Ok(Break(Action::await_change()))) {
        Ok(Continue(worked)) => scheduler.run_status(|| report(worked, &ctx)).await,
        Ok(Break(action)) => Ok(action),
        Err(error) => Err(error),
    };
    match blogs.get(&key) {
        Some(now) if now.uid() == blog.uid() => outcome,
        now => {
            // Deleted while reconciling: evict now, since no further event will.
            ctx.forget(&blog.uid().unwrap_or_default());
            if now.is_none() {
                ctx.forget_readiness(&blog.namespace().unwrap_or_default(), &blog.name_any());
            }
            Ok(Action::await_change())
        }
    }
}

/// The apply phase. Errors are reported at once, not behind other blogs' status updates.
async fn begin(blog: Option<Arc<FlaskBlog>>, ctx: &Context) -> Result<ControlFlow<Action, Outcome>, Error> {
    let worked = match blog {
        Some(blog) => {
            if let Some(next) = read_workloads(ctx, &BlogMeta::of(&blog)?).await {
                return Ok(Break(Action::requeue(next)));
            }
            reconcile_objects(blog, ctx).await?
        }
        None => None,
    };
    match worked {
        Some(worked) if worked.outcome.is_err() => report(worked, ctx).await.map(Break),
        Some(worked) => Ok(Continue(worked)),
        None => Ok(Break(Action::await_change())),
    }
}

/// Requeue delay after an error: exponential backoff with jitter, per blog.
pub fn error_policy(blog: Arc<FlaskBlog>, error: &Error, ctx: Arc<Context>) -> Action {
    let uid = blog.metadata.uid.as_deref().unwrap_or_default();
    let delay = ctx.count_failure(uid, rand::rng().random_range(0.0..1.0));
    let delay = match error {
        // Another controller's deletion usually ends within a minute or two.
        Error::Invalid(
            Invalid::WaitingForCleanup { .. }
            | Invalid::BeingDeleted { .. }
            | Invalid::ExternalSecretMissing { .. },
        ) => delay.min(LONGEST_CLEANUP),
        _ => delay,
    };
    Action::requeue(delay)
}
