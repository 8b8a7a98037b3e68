//! How often a blog that isn't ready yet is reconciled though no watch event arrives: a pod that can't pull its image changes
//! no object that is watched. The delay grows while nothing changes, as a full cluster has many such blogs.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use flaskblog_api::{Child, FlaskBlog};
use kube::runtime::reflector::ObjectRef;
use tokio::time::Instant;

use crate::{context::Context, identity::Identity};

/// After a change, a few times.
const FIRST: Duration = Duration::from_secs(10);
/// So many reconciles follow each other at the first delay.
const QUICK: u32 = 3;
/// However long nothing changes.
const LONGEST: Duration = Duration::from_secs(120);
/// So much later than a step becomes possible it is tried.
const MARGIN: Duration = Duration::from_secs(1);
/// Past so many blogs all start over.
const LIMIT: usize = 10_000;

/// Reconciles since the last change, by namespace and name of the blog.
#[derive(Debug, Default)]
pub struct Pace {
    counts: Mutex<HashMap<(String, String), u32>>,
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
        let count = all.entry((namespace.to_owned(), name.to_owned())).or_default();
        *count = count.saturating_add(1);
        *count
    }

    /// A panic while counting leaves usable counts.
    fn lock(&self) -> MutexGuard<'_, HashMap<(String, String), u32>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When to reconcile a blog again that isn't as its spec wants it. After the quick ones Deployment and StatefulSet are read again,
/// since an event of theirs may have been lost.
pub fn while_unsettled(ctx: &Context, id: &Identity, changed: bool) -> Duration {
    if changed {
        ctx.pace.reset(&id.namespace, &id.name);
    }
    let count = ctx.pace.count(&id.namespace, &id.name);
    if count >= QUICK {
        for role in [Child::App, Child::Database] {
            ctx.seen.distrust(role.kind(), &id.namespace, &role.name(&id.name));
        }
    }
    delay(count)
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
