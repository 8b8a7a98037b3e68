//! Detects statuses that another client has overwritten.
//!
//! The operator's own status writes trigger no reconcile, those of other clients do.

use parking_lot::Mutex;
use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    num::NonZeroU32,
};

use flaskblog_api::{FlaskBlog, FlaskBlogStatus};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use kube::ResourceExt;

/// Repairs of an overwritten status per minute.
///
/// The limit prevents a hot loop with another client.
const REPAIRS: NonZeroU32 = NonZeroU32::MIN.saturating_add(2);
/// Largest number of blogs, past which full limits are dropped.
const LIMIT: usize = 10_000;

/// The expected status of each blog, by its uid.
pub struct StatusGuard {
    expected: Mutex<HashMap<String, Expected>>,
    repairs: DefaultKeyedRateLimiter<String>,
}

#[derive(Clone, Copy, Debug)]
struct Expected {
    now: u64,
    /// Status before a write whose watch event hasn't arrived yet.
    before: Option<u64>,
}

impl std::fmt::Debug for StatusGuard {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("StatusGuard").finish_non_exhaustive()
    }
}

impl Default for StatusGuard {
    fn default() -> Self {
        Self { expected: Mutex::default(), repairs: RateLimiter::keyed(Quota::per_minute(REPAIRS)) }
    }
}

impl StatusGuard {
    /// Records the status of a blog, before or after its write.
    pub fn expect(&self, uid: &str, status: Option<&FlaskBlogStatus>) {
        let now = hash(status);
        let mut all = self.expected.lock();
        let before = all.get(uid).map(|expected| expected.now).filter(|before| *before != now);
        all.insert(uid.to_owned(), Expected { now, before });
    }

    /// Whether the status is overwritten and a repair is allowed now.
    #[must_use]
    pub fn is_overwritten(&self, blog: &FlaskBlog) -> bool {
        let (uid, status) = (blog.uid().unwrap_or_default(), hash(blog.status.as_ref()));
        let mut all = self.expected.lock();
        let Some(expected) = all.get_mut(&uid) else { return false };
        if expected.now == status {
            expected.before = None;
            return false;
        }
        if expected.before == Some(status) {
            return false;
        }
        drop(all);
        if self.repairs.len() > LIMIT {
            self.repairs.retain_recent();
        }
        self.repairs.check_key(&uid).is_ok()
    }

    /// Evicts a deleted blog.
    pub fn forget(&self, uid: &str) {
        self.expected.lock().remove(uid);
    }
}

/// Hashes the status as sent, which has shorter timestamps.
fn hash(status: Option<&FlaskBlogStatus>) -> u64 {
    let mut hasher = DefaultHasher::new();
    status.and_then(|status| serde_json::to_vec(status).ok()).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn status(replicas: i32) -> FlaskBlogStatus {
        FlaskBlogStatus { replicas, ..FlaskBlogStatus::default() }
    }

    fn told(replicas: i32) -> FlaskBlog {
        let blog = json!({"apiVersion": "flaskblog.dev/v1alpha1", "kind": "FlaskBlog", "spec": {},
            "metadata": {"name": "daily", "uid": "u"}, "status": status(replicas)});
        serde_json::from_value(blog).unwrap()
    }

    #[test]
    fn own_writes_are_no_overwritten_status_and_others_are() {
        let guard = StatusGuard::default();
        assert!(!guard.is_overwritten(&told(1)), "nothing is known yet");
        guard.expect("u", Some(&status(1)));
        guard.expect("u", Some(&status(2)));
        assert!(!guard.is_overwritten(&told(1)), "the echo of the write before");
        assert!(!guard.is_overwritten(&told(2)));
        assert!(guard.is_overwritten(&told(1)) && guard.is_overwritten(&told(7)));
        guard.forget("u");
        assert!(!guard.is_overwritten(&told(7)));
    }

    #[test]
    fn a_client_that_fights_over_the_status_leads_to_few_repairs() {
        let guard = StatusGuard::default();
        guard.expect("u", Some(&status(1)));
        let repairs = (0..100).filter(|_| guard.is_overwritten(&told(2))).count();
        assert_eq!(repairs, 3);
    }
}
