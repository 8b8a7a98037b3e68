//! How often a blog that isn't ready yet is reconciled though no watch event arrives: a pod that can't pull its image changes
//! no object that is watched. The delay grows while nothing changes, as a full cluster has many such blogs.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use flaskblog_api::{Child, FlaskBlog};
use kube::{api::DynamicObject, runtime::reflector::ObjectRef};
use tokio::time::Instant;

use crate::{context::Context, model::blog_meta::Identity, reconcile::observe::child_api};

/// After a change, a few times.
const FIRST: Duration = Duration::from_secs(10);
/// So many reconciles follow each other at the first delay.
const QUICK: u32 = 3;
/// However long nothing changes.
const LONGEST: Duration = Duration::from_secs(120);
/// So much later than a step becomes possible it is tried.
const MARGIN: Duration = Duration::from_secs(1);
/// Deployment and StatefulSet are read at least this often: a lost event of theirs is made good in one minute.
const LONGEST_UNREAD: Duration = Duration::from_secs(60);
/// Past so many blogs all start over.
const LIMIT: usize = 10_000;
/// The children whose status decides on `Ready`.
const WORKLOADS: [Child; 2] = [Child::App, Child::Database];

/// One blog that isn't as its spec wants it.
#[derive(Clone, Copy, Debug, Default)]
struct Unsettled {
    /// Reconciles since the last change.
    count: u32,
    /// When the next one is due, if its workloads are read before that.
    reconcile_at: Option<Instant>,
}

/// Blogs that aren't settled, by namespace and name.
#[derive(Debug, Default)]
pub struct Pace {
    unsettled: Mutex<HashMap<(String, String), Unsettled>>,
    /// Steps that become possible with time, by the uid of the blog.
    steps: Mutex<HashMap<String, Instant>>,
}

impl Pace {
    /// The blog or one of its children has changed.
    pub fn reset(&self, namespace: &str, name: &str) {
        self.lock().remove(&(namespace.to_owned(), name.to_owned()));
    }

    /// The same, by reference.
    pub fn reset_of(&self, blog: &ObjectRef<FlaskBlog>) {
        self.reset(blog.namespace.as_deref().unwrap_or_default(), &blog.name);
    }

    /// A step of this blog becomes possible after this time, or none does.
    pub fn plan(&self, uid: &str, after: Option<Duration>) {
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        match after {
            Some(after) => {
                steps.insert(uid.to_owned(), Instant::now() + after);
            }
            None => {
                steps.remove(uid);
            }
        }
    }

    /// That delay, or less if a step becomes possible before.
    #[must_use]
    pub fn at_most(&self, uid: &str, delay: Duration) -> Duration {
        let steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        let left = steps.get(uid).map(|at| at.saturating_duration_since(Instant::now()) + MARGIN);
        left.map_or(delay, |left| left.min(delay))
    }

    /// Counts one more reconcile without a change.
    fn count(&self, namespace: &str, name: &str) -> u32 {
        let mut all = self.lock();
        if all.len() >= LIMIT {
            all.clear();
        }
        let one = all.entry((namespace.to_owned(), name.to_owned())).or_default();
        one.count = one.count.saturating_add(1);
        one.count
    }

    /// Whether the quick reconciles of a blog are over.
    fn is_slow(&self, id: &Identity) -> bool {
        self.lock().get(&key(id)).is_some_and(|one| one.count >= QUICK)
    }

    /// The blog's next wake-up only reads its workloads, unless an event comes before.
    fn plan_read(&self, id: &Identity, reconcile_at: Instant) {
        self.lock().entry(key(id)).or_default().reconcile_at = Some(reconcile_at);
    }

    /// Whether this wake-up was planned by [`Self::plan_read`], and when the reconcile after it is due. Answers so once.
    fn take_read(&self, id: &Identity) -> Option<Instant> {
        self.lock().get_mut(&key(id))?.reconcile_at.take().filter(|at| *at > Instant::now())
    }

    /// A panic while counting leaves usable counts.
    fn lock(&self) -> MutexGuard<'_, HashMap<(String, String), Unsettled>> {
        self.unsettled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(id: &Identity) -> (String, String) {
    (id.namespace.clone(), id.name.clone())
}

/// When to reconcile a blog again that isn't as its spec wants it.
pub fn while_unsettled(ctx: &Context, id: &Identity, changed: bool) -> Duration {
    if changed {
        ctx.pace.reset(&id.namespace, &id.name);
    }
    delay(ctx.pace.count(&id.namespace, &id.name))
}

/// When to wake up for an unsettled blog whose next reconcile is due after that time. After the quick ones its workloads are
/// read again, since an event of theirs may have been lost: by the reconcile, or alone if that comes late.
pub fn next_wake_up(ctx: &Context, id: &Identity, reconcile_in: Duration) -> Duration {
    if reconcile_in > LONGEST_UNREAD {
        ctx.pace.plan_read(id, Instant::now() + reconcile_in);
        return LONGEST_UNREAD;
    }
    if ctx.pace.is_slow(id) {
        distrust_workloads(ctx, id);
    }
    reconcile_in
}

/// Reads the versions of a blog's workloads, if this wake-up was planned for that (client required). Returns when to wake up
/// next if no event of theirs was lost.
pub async fn read_workloads(ctx: &Context, id: &Identity) -> Option<Duration> {
    let reconcile_at = ctx.pace.take_read(id)?;
    for role in WORKLOADS {
        let (kind, name) = (role.kind(), role.name(&id.name));
        if ctx.seen.is_absent(kind, &id.namespace, &name) {
            continue;
        }
        let known = ctx.seen.current(kind, &id.namespace, &name)?;
        let read = child_api::<DynamicObject>(&ctx.client.0, id, kind).get_metadata_opt(&name).await;
        // What can't be read is the reconcile's to report.
        if read.ok().flatten().and_then(|read| read.metadata.resource_version)
            != known.metadata.resource_version
        {
            distrust_workloads(ctx, id);
            return None;
        }
    }
    Some(next_wake_up(ctx, id, reconcile_at.saturating_duration_since(Instant::now())))
}

fn distrust_workloads(ctx: &Context, id: &Identity) {
    for role in WORKLOADS {
        ctx.seen.distrust(role.kind(), &id.namespace, &role.name(&id.name));
    }
}

fn delay(count: u32) -> Duration {
    FIRST.saturating_mul(1 << count.saturating_sub(QUICK).min(9)).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_step_that_becomes_possible_is_not_waited_for_longer() {
        let (pace, long) = (Pace::default(), Duration::from_secs(600));
        pace.plan("u", Some(Duration::from_secs(100)));
        assert_eq!(pace.at_most("u", long).as_secs(), 101);
        assert_eq!(pace.at_most("u", FIRST), FIRST);
        pace.plan("u", None);
        assert_eq!(pace.at_most("u", long), long);
    }

    #[test]
    fn reconciles_without_a_change_become_rare_and_a_change_starts_over() {
        let pace = Pace::default();
        let delays: Vec<u64> = (0..8).map(|_| delay(pace.count("press", "daily")).as_secs()).collect();
        assert_eq!(delays, [10, 10, 10, 20, 40, 80, 120, 120]);
        assert_eq!(pace.count("press", "weekly"), 1);
        pace.reset_of(&ObjectRef::new("daily").within("press"));
        assert_eq!(pace.count("press", "daily"), 1);
    }
}
