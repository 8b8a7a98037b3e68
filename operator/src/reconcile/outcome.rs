//! Timeout, metrics and report of a reconcile.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use flaskblog_api::{FlaskBlog, FlaskBlogStatus};
use futures::FutureExt;
use kube::runtime::controller::Action;
use rand::Rng;
use tokio::time::{Instant, timeout};
use tracing::info;

use super::{
    actions::volume_expansion::VolumeExpansion,
    converge, events,
    requeue::{next_wake_up, requeue_while_progressing},
    status::{self, Published, Reconciled},
};
use crate::{
    context::{Context, RECONCILE_LIMIT},
    model::{blog_meta::BlogMeta, change::Change, error::Error},
    telemetry::metrics::Outcome as ResultLabel,
};

/// Requeue delay after a status for a stale version of the blog.
const REQUEUE_AFTER_CONFLICT: Duration = Duration::from_secs(1);
/// Requeue delay while a watch fails, since changes may be missed.
const REQUEUE_WHILE_WATCH_FAILING: Duration = Duration::from_secs(30);
/// Requeue delay while the cluster lacks a kind that the blog needs.
const REQUEUE_WHILE_KIND_MISSING: Duration = Duration::from_secs(60);

/// The result of the apply phase, which [`report`] publishes.
pub struct Outcome {
    blog: Arc<FlaskBlog>,
    id: BlogMeta,
    changes: Vec<Change>,
    status: Option<FlaskBlogStatus>,
    /// The error, if it failed.
    pub outcome: Result<(), Error>,
    settled: bool,
    growing: bool,
    unserved: bool,
    started: Instant,
}

/// The apply phase: from the observed to the desired state. `None` for a blog that is being deleted.
///
/// # Errors
/// [`Error`] for a blog without a name, namespace or uid.
pub async fn reconcile_objects(blog: Arc<FlaskBlog>, ctx: &Context) -> Result<Option<Outcome>, Error> {
    let started = Instant::now();
    let blog = ctx.status_writes.newest(blog);
    let id = BlogMeta::of(&blog)?;
    if blog.metadata.deletion_timestamp.is_some() {
        // No finalizer: owner references and the PVC retention policy clean up, also without an operator.
        ctx.forget(&id.uid);
        ctx.forget_readiness(&id.namespace, &id.name);
        return Ok(None);
    }
    ctx.children.wait_for_sync().await;
    let mut changes = Vec::new();
    let outcome = converged(&blog, &id, ctx, &mut changes).await;
    let report = status::report(&blog, &id, outcome.as_ref(), &ctx.settings); // no client required
    let growing = matches!(&outcome, Ok(Reconciled { growth: VolumeExpansion::Requested(_), .. }));
    let unserved = matches!(&outcome, Ok(done) if done.plan.misses_a_kind());
    Ok(Some(Outcome {
        status: status::merged(&blog, &report),
        outcome: outcome.and_then(|done| done.refusals.into_result()),
        settled: report.settled,
        started,
        blog,
        id,
        changes,
        growing,
        unserved,
    }))
}

/// The status phase: status, Events and log. Returns when to requeue.
///
/// # Errors
/// [`Error`], after it was written to the status and published as an Event.
pub async fn report(worked: Outcome, ctx: &Context) -> Result<Action, Error> {
    let Outcome { blog, id, changes, status: next, outcome, .. } = worked;
    ctx.show_readiness(&id, next.as_ref().or(blog.status.as_ref()));
    ctx.status_guard.expect(&id.uid, next.as_ref().or(blog.status.as_ref()));
    let published = status::publish(ctx, &blog, &id, next.as_ref()).await; // client required
    let error = outcome.as_ref().err().or(published.as_ref().err());
    events::publish(ctx, &blog, &changes, next.as_ref(), error).await; // client required
    log(&id, &changes);
    ctx.metrics.duration.observe(worked.started.elapsed().as_secs_f64());
    let result = outcome.and(published);
    let label = result.as_ref().map_or_else(Error::reason, |_| "Ok");
    ctx.metrics.reconciles.get_or_create(&ResultLabel { result: label }).inc();
    let published = result.inspect_err(|_| ctx.children.invalidate(&id.uid))?;
    ctx.forget_failures(&id.uid);
    // After a changed PVC request the next reconcile follows at once, to update the StatefulSet.
    let changed = next.is_some() || !changes.is_empty();
    let is_unsettled = matches!(published, Published::Done) && !worked.settled && !worked.growing;
    let next = match published {
        Published::Done if is_unsettled => requeue_while_progressing(ctx, &id, changed),
        _ if worked.growing => REQUEUE_AFTER_CONFLICT,
        _ => requeue_after(ctx, published),
    };
    let due = [ctx.contests.next(&id.uid), ctx.replicas.next(&id.uid)];
    let next = due.into_iter().flatten().fold(next, Duration::min);
    let next = ctx.pace.at_most(&id.uid, next);
    let next = if worked.unserved { next.min(REQUEUE_WHILE_KIND_MISSING) } else { next };
    Ok(Action::requeue(if is_unsettled { next_wake_up(ctx, &id, next) } else { next }))
}

fn log(id: &BlogMeta, changes: &[Change]) {
    for change in changes {
        info!(
            blog.namespace = id.namespace,
            blog.name = id.name,
            kind = change.kind,
            name = change.name,
            "{}",
            change.reason
        );
    }
}

/// Requeue delay without a watch event.
fn requeue_after(ctx: &Context, published: Published) -> Duration {
    match published {
        Published::Overtaken => REQUEUE_AFTER_CONFLICT,
        Published::Done if ctx.watch_failures.any_failing() => REQUEUE_WHILE_WATCH_FAILING,
        Published::Done => with_jitter(ctx.settings.resync),
    }
}

/// Converges, and retries once after a result from stale state.
async fn converged(
    blog: &FlaskBlog,
    id: &BlogMeta,
    ctx: &Context,
    changes: &mut Vec<Change>,
) -> Result<Reconciled, Error> {
    let outcome = with_timeout_and_panic_guard(converge(blog, id, ctx, changes)).await;
    if !outcome.as_ref().is_err_and(Error::is_outdated) {
        return outcome;
    }
    ctx.children.invalidate(&id.uid);
    with_timeout_and_panic_guard(converge(blog, id, ctx, changes)).await
}

/// Turns a panic or a timeout into an error of the blog.
///
/// State that a panic leaves half done isn't used again, since the next reconcile reads again. The panic hook has logged the
/// location.
async fn with_timeout_and_panic_guard<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    match timeout(RECONCILE_LIMIT, AssertUnwindSafe(work).catch_unwind()).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(panic)) => Err(panicked(panic.as_ref())),
        Err(_) => Err(Error::Timeout(RECONCILE_LIMIT.as_secs())),
    }
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> Error {
    let words = panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
    Error::Panicked(words.unwrap_or("no message").to_owned())
}

/// Adds up to a tenth.
///
/// So blogs that were created together aren't all reconciled together.
fn with_jitter(interval: Duration) -> Duration {
    interval.mul_f64(rand::rng().random_range(1.0..1.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_panic_and_a_hang_are_errors_of_one_blog() {
        let panicking =
            with_timeout_and_panic_guard::<()>(async { panic!("index out of bounds") }).await.unwrap_err();
        assert_eq!(panicking.reason(), "Panicked");
        assert!(panicking.to_string().contains("index out of bounds"), "{panicking}");
        assert_eq!(
            with_timeout_and_panic_guard::<()>(std::future::pending()).await.unwrap_err().reason(),
            "Timeout"
        );
        assert_eq!(with_timeout_and_panic_guard(async { Ok(1) }).await.unwrap(), 1);
    }
}
