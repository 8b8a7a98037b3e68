//! The story of one reconcile: observe → validate → desired → apply → status.

pub mod actions;
pub mod apply;
pub mod desired;
pub mod diff;
pub mod events;
pub mod observe;
pub mod status;
pub mod validate;

use std::{
    ops::ControlFlow::{self, Break, Continue},
    panic::AssertUnwindSafe,
    sync::Arc,
    time::Duration,
};

use flaskblog_api::{Child, FlaskBlog, FlaskBlogStatus};
use futures::FutureExt;
use k8s_openapi::jiff::Timestamp;
use kube::{
    ResourceExt,
    runtime::{
        controller::Action,
        reflector::{ObjectRef, Store},
    },
};
use rand::Rng;
use tokio::time::{Instant, timeout};
use tracing::info;

use crate::{
    cache::{
        pace::{next_wake_up, read_workloads, while_unsettled},
        replica_health::ReplicaReport,
    },
    context::{Context, RECONCILE_LIMIT},
    controller::scheduler::Turns,
    model::{
        blog_meta::Identity,
        error::{Error, Invalid},
        refusals::Refusals,
    },
    reconcile::{
        actions::{
            certificates::{renew, show_not_after},
            node_port::record_node_port,
            owner_references::{forget_volume, record_served_data, release_data, take_data},
            secret_rotation::{root_waits, rotate, steps},
            volume_expansion::{Growth, grow},
        },
        apply::{Change, apply, unstick},
        desired::{Applied, Objects, desired},
        diff::{Held, held, pending},
        observe::{Observed, observe},
        status::{Done, Published},
        validate::{Plan, separate_foreign, validate},
    },
    telemetry::metrics::Outcome,
};

/// A status that was computed for a version of the blog that isn't the newest any more is computed anew this soon.
const OVERTAKEN: Duration = Duration::from_secs(1);

/// While a watch fails, changes may go unseen.
const UNWATCHED: Duration = Duration::from_secs(30);

/// While the cluster lacks a kind that the blog asks for.
const UNSERVED: Duration = Duration::from_secs(60);

/// While objects of an earlier blog are being deleted, it is looked at at least this often.
const LONGEST_CLEANUP: Duration = Duration::from_secs(15);

/// Brings one blog closer to its spec and says when to look again. Objects of all who wait for a turn are made before the first
/// status is written. Whoever waited looks at what `blogs` says by then, not at what the blog was like before.
///
/// # Errors
/// [`Error`], after it was written to the status and published as an Event.
pub async fn reconcile(
    blog: Arc<FlaskBlog>,
    ctx: Arc<Context>,
    turns: Turns,
    blogs: Store<FlaskBlog>,
) -> Result<Action, Error> {
    let key = ObjectRef::from_obj(&*blog);
    let begun = turns.begin(|| begin(blogs.get(&key), &ctx)).await;
    let outcome = match begun.unwrap_or(Ok(Break(Action::await_change()))) {
        Ok(Continue(worked)) => turns.go_on(|| tell(worked, &ctx)).await,
        Ok(Break(action)) => Ok(action),
        Err(error) => Err(error),
    };
    match blogs.get(&key) {
        Some(now) if now.uid() == blog.uid() => outcome,
        now => {
            // What was remembered of it after its watch had told of its end would be so for ever.
            ctx.forget(&blog.uid().unwrap_or_default());
            if now.is_none() {
                ctx.forget_readiness(&blog.namespace().unwrap_or_default(), &blog.name_any());
            }
            Ok(Action::await_change())
        }
    }
}

/// The first turn. An error is told in it: who looks for a reason shouldn't wait for others' successes.
async fn begin(blog: Option<Arc<FlaskBlog>>, ctx: &Context) -> Result<ControlFlow<Action, Worked>, Error> {
    let worked = match blog {
        Some(blog) => {
            if let Some(next) = read_workloads(ctx, &Identity::of(&blog)?).await {
                return Ok(Break(Action::requeue(next)));
            }
            work(blog, ctx).await?
        }
        None => None,
    };
    match worked {
        Some(worked) if worked.outcome.is_err() => tell(worked, ctx).await.map(Break),
        Some(worked) => Ok(Continue(worked)),
        None => Ok(Break(Action::await_change())),
    }
}

/// What is left of a reconcile when its objects are made: what there is to tell.
struct Worked {
    blog: Arc<FlaskBlog>,
    id: Identity,
    changes: Vec<Change>,
    status: Option<FlaskBlogStatus>,
    outcome: Result<(), Error>,
    settled: bool,
    growing: bool,
    unserved: bool,
    started: Instant,
}

/// The first part: from what is there to what is wanted. Nothing for a blog that is being deleted.
async fn work(blog: Arc<FlaskBlog>, ctx: &Context) -> Result<Option<Worked>, Error> {
    let started = Instant::now();
    let blog = ctx.written.newest(blog);
    let id = Identity::of(&blog)?;
    if blog.metadata.deletion_timestamp.is_some() {
        // No finalizer: owner references and the claim retention policy do the rest, also without an operator.
        ctx.forget(&id.uid);
        ctx.forget_readiness(&id.namespace, &id.name);
        return Ok(None);
    }
    ctx.seen.all_listed().await;
    let mut changes = Vec::new();
    let outcome = converged(&blog, &id, ctx, &mut changes).await;
    let report = status::report(&blog, &id, outcome.as_ref(), &ctx.settings); // no client required
    let growing = matches!(&outcome, Ok(Done { growth: Growth::Requested(_), .. }));
    let unserved = matches!(&outcome, Ok(done) if done.plan.misses_a_kind());
    Ok(Some(Worked {
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

/// The second part: status, Events and log, and when to look again.
async fn tell(worked: Worked, ctx: &Context) -> Result<Action, Error> {
    let Worked { blog, id, changes, status: next, outcome, .. } = worked;
    ctx.show_readiness(&id, next.as_ref().or(blog.status.as_ref()));
    ctx.status_guard.expect(&id.uid, next.as_ref().or(blog.status.as_ref()));
    let published = status::publish(ctx, &blog, &id, next.as_ref()).await; // client required
    let error = outcome.as_ref().err().or(published.as_ref().err());
    events::publish(ctx, &blog, &changes, next.as_ref(), error).await; // client required
    log(&id, &changes);
    ctx.metrics.duration.observe(worked.started.elapsed().as_secs_f64());
    let result = outcome.and(published);
    let label = result.as_ref().map_or_else(Error::reason, |_| "Ok");
    ctx.metrics.reconciles.get_or_create(&Outcome { result: label }).inc();
    let published = result.inspect_err(|_| ctx.seen.doubt(&id.uid))?;
    ctx.forget_failures(&id.uid);
    // The StatefulSet follows the claim, which is not watched.
    let changed = next.is_some() || !changes.is_empty();
    let is_unsettled = matches!(published, Published::Done) && !worked.settled && !worked.growing;
    let next = match published {
        Published::Done if is_unsettled => while_unsettled(ctx, &id, changed),
        _ if worked.growing => OVERTAKEN,
        _ => next_look(ctx, published),
    };
    let due = [ctx.contests.next(&id.uid), ctx.replicas.next(&id.uid)];
    let next = due.into_iter().flatten().fold(next, Duration::min);
    let next = ctx.pace.at_most(&id.uid, next);
    let next = if worked.unserved { next.min(UNSERVED) } else { next };
    Ok(Action::requeue(if is_unsettled { next_wake_up(ctx, &id, next) } else { next }))
}

fn log(id: &Identity, changes: &[Change]) {
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

/// When to look again though nobody tells of a change.
fn next_look(ctx: &Context, published: Published) -> Duration {
    match published {
        Published::Overtaken => OVERTAKEN,
        Published::Done if ctx.watches.any_failing() => UNWATCHED,
        Published::Done => spread(ctx.settings.resync),
    }
}

/// Converges, a second time if the first one turned out to be based on what no longer is.
async fn converged(
    blog: &FlaskBlog,
    id: &Identity,
    ctx: &Context,
    changes: &mut Vec<Change>,
) -> Result<Done, Error> {
    let outcome = guarded(converge(blog, id, ctx, changes)).await;
    if !outcome.as_ref().is_err_and(Error::is_outdated) {
        return outcome;
    }
    ctx.seen.doubt(&id.uid);
    guarded(converge(blog, id, ctx, changes)).await
}

async fn converge(
    blog: &FlaskBlog,
    id: &Identity,
    ctx: &Context,
    changes: &mut Vec<Change>,
) -> Result<Done, Error> {
    let mut observed = observe(ctx, id, blog).await?; // client required
    separate_foreign(id, &mut observed)?; // no client required
    show_not_after(ctx, id, &observed);
    if blog.spec.suspend {
        return look_only(blog, id, ctx, observed);
    }
    let mut refusals = Refusals::default();
    let policy = blog.spec.deletion_policy;
    refusals.collect(release_data(ctx, id, policy, &observed).await)?; // client required
    refusals.collect(forget_volume(ctx, id, blog, &observed).await)?; // client required
    let plan = validate(blog, id, &observed, &ctx.settings)?; // no client required
    let (applied, held) = bring_about(ctx, id, &plan, &observed, changes, &mut refusals).await?; // client required
    if !plan.refused.contains_key(&Child::Database) {
        refusals.collect(unstick(ctx, id, &observed, &applied, changes).await)?; // client required
    }
    refusals.collect(take_data(ctx, id, policy, &observed).await)?; // client required
    refusals.collect(record_node_port(ctx, id, policy, &applied).await)?; // client required
    refusals.collect(record_served_data(ctx, id, &observed, &applied).await)?; // client required
    let storage = plan.database.managed().map(|managed| &managed.spec.storage);
    let growth = refusals.collect(grow(ctx, id, storage, &observed).await)?; // client required
    maintain_secrets(blog, id, ctx, &observed, &applied, changes, &mut refusals).await?; // client required
    let (growth, held) = (growth.unwrap_or(Growth::None), held.lines);
    let contested = ctx.contests.words(&id.uid);
    Ok(Done { observed, plan, applied, growth, held, contested, suspended: None, refusals })
}

/// Rotations and certificates have deadlines of their own, so they depend on nothing but their Secrets.
async fn maintain_secrets(
    blog: &FlaskBlog,
    id: &Identity,
    ctx: &Context,
    observed: &Observed,
    applied: &Objects<Applied>,
    changes: &mut Vec<Change>,
    refusals: &mut Refusals,
) -> Result<(), Error> {
    let is_failing = matches!(observed.replica_report, Some(ReplicaReport::Failing { .. }));
    let now = Timestamp::now();
    let steps = steps(blog, applied, now); // no client required
    ctx.pace.plan(&id.uid, root_waits(blog, applied, now));
    refusals.collect(rotate(ctx, id, steps, changes).await)?; // client required
    refusals.collect(renew(ctx, id, blog, applied, is_failing, now, changes).await)?; // client required
    Ok(())
}

/// Brings the objects to the plan; also returns the restarts that wait for approval.
async fn bring_about(
    ctx: &Context,
    id: &Identity,
    plan: &Plan,
    observed: &Observed,
    changes: &mut Vec<Change>,
    refusals: &mut Refusals,
) -> Result<(Objects<Applied>, Held), Error> {
    if ctx.settled.holds(plan, observed) {
        return Ok((Objects::applied(observed.children.clone()), Held::default()));
    }
    ctx.settled.forget(&id.uid);
    let wanted = desired(plan); // no client required
    let differences = pending(plan, &wanted, observed); // no client required
    let held = held(plan, &wanted, &differences); // no client required
    let applied = apply(ctx, plan, &wanted, observed, &held, changes, refusals).await?; // client required
    if held.lines.is_empty() && refusals.first().is_none() && ctx.contests.next(&id.uid).is_none() {
        ctx.settled.found(plan, applied.by_role());
    }
    Ok((applied, held))
}

/// A suspended blog: what there is, and what would be changed.
fn look_only(blog: &FlaskBlog, id: &Identity, ctx: &Context, observed: Observed) -> Result<Done, Error> {
    let plan = validate(blog, id, &observed, &ctx.settings)?;
    let wanted = desired(&plan);
    let mut refusals = Refusals::default();
    plan.refused_of(&wanted).for_each(|why| refusals.push(why.clone()));
    let suspended = pending(&plan, &wanted, &observed).iter().map(ToString::to_string).collect();
    let applied = Objects::applied(observed.children.clone());
    let (growth, held, contested) = (Growth::None, Vec::new(), Vec::new());
    Ok(Done { observed, plan, applied, growth, held, contested, suspended: Some(suspended), refusals })
}

/// Neither a panic nor a hang of one reconcile harms another: both are errors of this blog. Nothing that a panic leaves half
/// done is used afterwards, since the next reconcile looks anew; the panic hook has logged where it was.
async fn guarded<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
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

/// When to try again after an error: later each time, with jitter, for each blog by itself.
pub fn error_policy(blog: Arc<FlaskBlog>, error: &Error, ctx: Arc<Context>) -> Action {
    let uid = blog.metadata.uid.as_deref().unwrap_or_default();
    let delay = ctx.count_failure(uid, rand::rng().random_range(0.0..1.0));
    let delay = match error {
        // Somebody else's work is under way and usually ends within a minute or two.
        Error::Invalid(
            Invalid::WaitingForCleanup { .. }
            | Invalid::BeingDeleted { .. }
            | Invalid::ExternalSecretMissing { .. },
        ) => delay.min(LONGEST_CLEANUP),
        _ => delay,
    };
    Action::requeue(delay)
}

/// Up to a tenth more, so that blogs made together aren't all looked at together.
fn spread(interval: Duration) -> Duration {
    interval.mul_f64(rand::rng().random_range(1.0..1.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_panic_and_a_hang_are_errors_of_one_blog() {
        let panicking = guarded::<()>(async { panic!("index out of bounds") }).await.unwrap_err();
        assert_eq!(panicking.reason(), "Panicked");
        assert!(panicking.to_string().contains("index out of bounds"), "{panicking}");
        assert_eq!(guarded::<()>(std::future::pending()).await.unwrap_err().reason(), "Timeout");
        assert_eq!(guarded(async { Ok(1) }).await.unwrap(), 1);
    }
}
