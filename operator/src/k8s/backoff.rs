//! Exponential backoff per blog after errors, which kube-runtime lacks (kube-rs/kube#1916).

use parking_lot::Mutex;
use std::{collections::HashMap, time::Duration};

/// Delay before the first retry.
const FIRST: Duration = Duration::from_secs(1);
/// Longest delay between two retries.
const LONGEST: Duration = Duration::from_secs(300);

/// Largest number of counts, past which all start over.
///
/// A blog that is deleted while it fails gets no further event, so its count stays.
const LIMIT: usize = 10_000;

/// Failures in a row, by the uid of the blog.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: Mutex<HashMap<String, u32>>,
}

impl Backoff {
    /// Counts one more failure and returns the delay.
    ///
    /// `jitter` is 0..1 and spreads blogs that fail together over the upper half of the delay.
    pub fn failed(&self, uid: &str, jitter: f64) -> Duration {
        let mut failures = self.failures.lock();
        if failures.len() >= LIMIT {
            failures.clear();
        }
        let count = failures.entry(uid.to_owned()).or_default();
        let delay = FIRST.saturating_mul(1 << (*count).min(9)).min(LONGEST);
        *count = count.saturating_add(1);
        delay.mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0))
    }

    /// Resets the failures of a blog that succeeded or is deleted.
    pub fn succeeded(&self, uid: &str) {
        self.failures.lock().remove(uid);
    }

    /// Number of blogs that are backing off.
    #[must_use]
    pub fn len(&self) -> usize {
        self.failures.lock().len()
    }

    /// Whether no blog is backing off.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_a_limit_and_start_over_after_success() {
        let backoff = Backoff::default();
        let delays: Vec<u64> = (0..12).map(|_| backoff.failed("a", 1.0).as_secs()).collect();
        assert_eq!(delays, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
        backoff.succeeded("a");
        assert_eq!(backoff.failed("a", 1.0), FIRST);
    }

    #[test]
    fn one_blogs_failures_are_not_anothers_and_jitter_never_halves_more() {
        let backoff = Backoff::default();
        backoff.failed("a", 1.0);
        assert_eq!(backoff.failed("b", 0.0), FIRST / 2);
    }
}
