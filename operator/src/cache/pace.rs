//! Requeue delays of a blog that isn't ready yet.
//!
//! Without watch events it is reconciled too, since a pod that can't pull its image changes no watched object. The delay grows
//! while nothing changes, since a full cluster has many such blogs.

use std::{collections::HashMap, time::Duration};

use flaskblog_api::FlaskBlog;
use kube::runtime::reflector::ObjectRef;
use tokio::time::Instant;

use parking_lot::Mutex;

use crate::model::blog_meta::BlogMeta;

/// Delay of the first reconciles after a change.
const FIRST: Duration = Duration::from_secs(10);
/// Number of reconciles at the first delay.
const QUICK: u32 = 3;
/// Longest delay while nothing changes.
const LONGEST: Duration = Duration::from_secs(120);
/// Margin after the time at which a step becomes possible.
const MARGIN: Duration = Duration::from_secs(1);
/// Largest number of blogs, past which all start over.
const LIMIT: usize = 10_000;

/// One blog that doesn't match its spec yet.
#[derive(Clone, Copy, Debug, Default)]
struct Unsettled {
    /// Reconciles since the last change.
    count: u32,
    /// Time of the next reconcile, if the workloads are read before.
    reconcile_at: Option<Instant>,
}

/// Blogs that don't match their spec yet, by namespace and name.
#[derive(Debug, Default)]
pub struct Pace {
    unsettled: Mutex<HashMap<(String, String), Unsettled>>,
    /// Steps that become possible with time, by the uid of the blog.
    steps: Mutex<HashMap<String, Instant>>,
}

impl Pace {
    /// Resets the delay after a change of the blog or a child.
    pub fn reset(&self, namespace: &str, name: &str) {
        self.unsettled.lock().remove(&(namespace.to_owned(), name.to_owned()));
    }

    /// The same, by reference.
    pub fn reset_of(&self, blog: &ObjectRef<FlaskBlog>) {
        self.reset(blog.namespace.as_deref().unwrap_or_default(), &blog.name);
    }

    /// Records when the blog's next step becomes possible, or that none does.
    pub fn plan(&self, uid: &str, after: Option<Duration>) {
        let mut steps = self.steps.lock();
        match after {
            Some(after) => {
                steps.insert(uid.to_owned(), Instant::now() + after);
            }
            None => {
                steps.remove(uid);
            }
        }
    }

    /// The given delay, or less if a step becomes possible earlier.
    #[must_use]
    pub fn at_most(&self, uid: &str, delay: Duration) -> Duration {
        let steps = self.steps.lock();
        let left = steps.get(uid).map(|at| at.saturating_duration_since(Instant::now()) + MARGIN);
        left.map_or(delay, |left| left.min(delay))
    }

    /// The delay after one more reconcile without a change.
    pub fn next_delay(&self, namespace: &str, name: &str) -> Duration {
        delay(self.count(namespace, name))
    }

    /// Counts one more reconcile without a change.
    fn count(&self, namespace: &str, name: &str) -> u32 {
        let mut all = self.unsettled.lock();
        if all.len() >= LIMIT {
            all.clear();
        }
        let one = all.entry((namespace.to_owned(), name.to_owned())).or_default();
        one.count = one.count.saturating_add(1);
        one.count
    }

    /// Whether the quick reconciles of a blog are over.
    pub fn is_slow(&self, id: &BlogMeta) -> bool {
        self.unsettled.lock().get(&key(id)).is_some_and(|one| one.count >= QUICK)
    }

    /// Makes the blog's next requeue only read its workloads.
    ///
    /// An event before that starts a full reconcile.
    pub fn plan_read(&self, id: &BlogMeta, reconcile_at: Instant) {
        self.unsettled.lock().entry(key(id)).or_default().reconcile_at = Some(reconcile_at);
    }

    /// Takes the plan of [`Self::plan_read`].
    ///
    /// Returns when the reconcile after it is due.
    pub fn take_read(&self, id: &BlogMeta) -> Option<Instant> {
        self.unsettled.lock().get_mut(&key(id))?.reconcile_at.take().filter(|at| *at > Instant::now())
    }
}

fn key(id: &BlogMeta) -> (String, String) {
    (id.namespace.clone(), id.name.clone())
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
