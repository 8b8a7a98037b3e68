//! Contested objects: those that another manager keeps reverting or recreating.
//!
//! The operator writes or deletes them with a growing delay, and names them in the status.

use std::{collections::HashMap, time::Duration};

use flaskblog_api::{Child, children::DESIRED_HASH};
use kube::{ResourceExt, api::DynamicObject};
use tokio::time::Instant;

use parking_lot::Mutex;

use crate::model::blog_meta::BlogMeta;

/// Writes within [`WINDOW`] that make an object contested.
///
/// Its creation and a few manual edits are usual.
const CONTESTED: usize = 4;
/// Period in which writes of one object are counted.
const WINDOW: Duration = Duration::from_secs(60);
/// Delay of the first write to a contested object.
const FIRST: Duration = Duration::from_secs(20);
/// Longest delay of a write to a contested object.
const LONGEST: Duration = Duration::from_secs(300);
/// Largest number of objects, past which those without recent writes are evicted.
const LIMIT: usize = 10_000;

/// Recent writes, by the blog's uid and the object's role.
#[derive(Debug, Default)]
pub struct Contests(Mutex<HashMap<(String, Child), Contest>>);

/// A blog's contested objects, for its status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contested {
    /// One sentence per object.
    pub lines: Vec<String>,
    /// The sentence about the Service's spec: it may not select the replicas.
    pub service: Option<String>,
}

/// Generation of the FlaskBlog and hash of the object. A deletion has none.
type Wanted = (Option<i64>, Option<String>);

fn wanted_by(id: &BlogMeta, object: Option<&DynamicObject>) -> Wanted {
    (id.generation, object.and_then(|object| object.annotations().get(DESIRED_HASH).cloned()))
}

#[derive(Debug)]
struct Contest {
    /// The desired state. A change of the spec starts a new count.
    wanted: Wanted,
    /// Writes within [`WINDOW`].
    writes: Vec<Instant>,
    /// Number of delayed writes.
    delays: u32,
    until: Instant,
    /// The sentence for the status, once it is known.
    words: Option<String>,
    /// The live object's resourceVersion that the sentence describes.
    explained: Option<String>,
    /// Whether more than metadata changes, as far as it is known.
    affects_spec: bool,
}

impl Contest {
    fn new(wanted: Wanted) -> Self {
        Self {
            wanted,
            writes: Vec::new(),
            delays: 0,
            until: Instant::now(),
            words: None,
            explained: None,
            affects_spec: true,
        }
    }

    fn write(&mut self) {
        let now = Instant::now();
        self.writes.retain(|write| now - *write < WINDOW);
        self.writes.push(now);
        let goes_on = self.delays > 0 && now < self.until + WINDOW;
        if goes_on || self.writes.len() >= CONTESTED {
            self.until = now + FIRST.saturating_mul(1 << self.delays.min(9)).min(LONGEST);
            self.delays = self.delays.saturating_add(1);
        } else {
            (self.delays, self.words) = (0, None);
        }
    }

    /// Whether a delay is running or ended less than a minute ago.
    fn is_lasting(&self) -> bool {
        self.delays > 0 && self.until.elapsed() < WINDOW
    }

    fn left(&self) -> Option<Duration> {
        Some(self.until.saturating_duration_since(Instant::now())).filter(|left| !left.is_zero())
    }
}

impl Contests {
    /// Counts a write of that content, or a deletion without it.
    pub fn wrote(&self, id: &BlogMeta, role: Child, object: Option<&DynamicObject>) {
        let mut all = self.0.lock();
        if all.len() >= LIMIT {
            all.retain(|_, one| one.until.elapsed() < WINDOW);
        }
        let wanted = wanted_by(id, object);
        let one = all.entry((id.uid.clone(), role)).or_insert_with(|| Contest::new(wanted.clone()));
        if one.wanted != wanted {
            *one = Contest::new(wanted);
        }
        one.write();
    }

    /// Whether the write or deletion of an object is delayed.
    #[must_use]
    pub fn holds(&self, id: &BlogMeta, role: Child, object: Option<&DynamicObject>) -> bool {
        let all = self.0.lock();
        let one = all.get(&(id.uid.clone(), role));
        one.is_some_and(|one| one.left().is_some() && one.wanted == wanted_by(id, object))
    }

    /// Time until the first of a blog's contested objects may be written.
    #[must_use]
    pub fn next(&self, uid: &str) -> Option<Duration> {
        self.0.lock().iter().filter(|((of, _), _)| of == uid).filter_map(|(_, one)| one.left()).min()
    }

    /// The report for a blog's status.
    #[must_use]
    pub fn report(&self, uid: &str) -> Contested {
        let all = self.0.lock();
        let of_blog = all.iter().filter(|((of, _), one)| of == uid && one.is_lasting());
        let mut lines: Vec<String> = of_blog.filter_map(|(_, one)| one.words.clone()).collect();
        lines.sort();
        let service = all.get(&(uid.to_owned(), Child::AppService));
        let service = service.filter(|one| one.is_lasting() && one.affects_spec);
        Contested { lines, service: service.and_then(|one| one.words.clone()) }
    }

    /// Stores the sentence about a contested object with this resourceVersion.
    ///
    /// `affects_spec`: more than metadata changes, or the difference is unknown.
    pub fn explain(
        &self,
        uid: &str,
        role: Child,
        version: Option<String>,
        words: String,
        affects_spec: bool,
    ) {
        if let Some(one) = self.0.lock().get_mut(&(uid.to_owned(), role)) {
            (one.words, one.explained, one.affects_spec) = (Some(words), version, affects_spec);
        }
    }

    /// Whether a contested object has a sentence about this resourceVersion.
    pub fn is_explained(&self, uid: &str, role: Child, version: Option<&str>) -> bool {
        let all = self.0.lock();
        let one = all.get(&(uid.to_owned(), role));
        one.is_some_and(|one| one.words.is_some() && one.explained.as_deref() == version)
    }

    /// Evicts a deleted blog.
    pub fn forget(&self, uid: &str) {
        self.0.lock().retain(|(of, _), _| of != uid);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn id(uid: &str) -> BlogMeta {
        BlogMeta { namespace: "press".into(), name: "daily".into(), uid: uid.into(), generation: Some(1) }
    }

    fn object(spec: Value) -> DynamicObject {
        let object =
            json!({"metadata": {"name": "x", "annotations": {DESIRED_HASH: spec.to_string()}}, "spec": spec});
        serde_json::from_value(object).unwrap()
    }

    /// Counts the writes in an hour while a client reverts each.
    #[tokio::test(start_paused = true)]
    async fn a_client_that_reverts_every_write_provokes_few_of_them() {
        let (contests, wanted) = (Contests::default(), object(json!({"replicas": 2})));
        let mut writes = 0;
        for _second in 0..3600 {
            if !contests.holds(&id("u"), Child::App, Some(&wanted)) {
                contests.wrote(&id("u"), Child::App, Some(&wanted));
                writes += 1;
            }
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert!((12..20).contains(&writes), "{writes}");
        assert!(
            !contests.holds(&id("u"), Child::App, Some(&object(json!({"replicas": 3})))),
            "another spec is no contest"
        );
        assert!(!contests.holds(&id("u"), Child::App, None), "nor is no longer wanting it");
        assert!(
            !contests.holds(&id("v"), Child::App, Some(&wanted))
                && !contests.holds(&id("u"), Child::AppService, Some(&wanted))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn delays_of_a_contest_grow_from_20_seconds_to_5_minutes() {
        let (contests, wanted) = (Contests::default(), object(json!({})));
        let mut delays = Vec::new();
        for _ in 0..CONTESTED + 5 {
            contests.wrote(&id("u"), Child::App, Some(&wanted));
            if let Some(delay) = contests.next("u") {
                delays.push(delay.as_secs());
                tokio::time::advance(delay).await;
            }
        }
        assert_eq!(delays, [20, 40, 80, 160, 300, 300]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_contest_ends_a_minute_after_its_last_delay() {
        let (contests, wanted) = (Contests::default(), object(json!({})));
        for _ in 0..CONTESTED {
            assert_eq!(contests.next("u"), None);
            contests.wrote(&id("u"), Child::App, Some(&wanted));
        }
        assert_eq!(contests.next("u"), Some(FIRST));
        contests.explain("u", Child::App, None, "words".into(), true);
        tokio::time::advance(FIRST + WINDOW - Duration::from_secs(1)).await;
        assert_eq!(contests.report("u").lines, ["words"]);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(contests.report("u").lines.is_empty());
        contests.wrote(&id("u"), Child::App, Some(&wanted));
        assert_eq!(contests.next("u"), None, "one write is usual again");
    }
}
