//! Which watches fail: without them changes go unseen, so somebody has to hear of it.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// A watch that works again says nothing until something changes, so a failure counts for this long: twice the longest
/// delay between two tries.
const MEMORY: Duration = Duration::from_secs(60);
/// One failure is a restarted API server or a lost connection, which the next try mends.
const TOLERATED: u32 = 1;

/// The failures of each watch, by the kind of object.
#[derive(Debug, Default)]
pub struct Watches(Mutex<BTreeMap<String, Failures>>);

#[derive(Debug)]
struct Failures {
    in_a_row: u32,
    last: Instant,
    words: String,
}

impl Watches {
    /// A watch has failed, with these words.
    pub fn failed(&self, kind: &str, words: String) {
        let mut all = self.lock();
        let before = all.get(kind).filter(|one| one.last.elapsed() < MEMORY).map_or(0, |one| one.in_a_row);
        let failures = Failures { in_a_row: before.saturating_add(1), last: Instant::now(), words };
        all.insert(kind.to_owned(), failures);
    }

    /// A watch has told something.
    pub fn worked(&self, kind: &str) {
        self.lock().remove(kind);
    }

    /// A sentence for each watch that fails again and again.
    #[must_use]
    pub fn failing(&self) -> Vec<String> {
        let counts = |one: &Failures| one.in_a_row > TOLERATED && one.last.elapsed() < MEMORY;
        let all = self.lock();
        let failing = all.iter().filter(|(_, one)| counts(one));
        failing.map(|(kind, one)| format!("the watch of {kind}, which fails: {}", one.words)).collect()
    }

    /// Whether changes may go unseen.
    #[must_use]
    pub fn any_failing(&self) -> bool {
        !self.failing().is_empty()
    }

    /// A panic while counting leaves usable counts.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Failures>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_fails_twice_is_named_until_it_works_or_is_quiet_for_a_minute() {
        let watches = Watches::default();
        watches.failed("Secret", "forbidden".into());
        assert!(!watches.any_failing(), "once is no news");
        watches.failed("Secret", "still forbidden".into());
        assert_eq!(watches.failing(), ["the watch of Secret, which fails: still forbidden"]);
        watches.worked("Secret");
        assert!(!watches.any_failing());
        watches.failed("Secret", "a".into());
        watches.failed("Secret", "b".into());
        tokio::time::advance(MEMORY).await;
        assert!(!watches.any_failing());
        watches.failed("Secret", "c".into());
        assert!(!watches.any_failing(), "a failure after a long while is the first one again");
    }
}
