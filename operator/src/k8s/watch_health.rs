//! Failing watches, as `/readyz` and the log report them.

use parking_lot::Mutex;
use std::{collections::BTreeMap, fmt, time::Duration};

use flaskblog_api::FlaskBlog;
use futures::{Stream, StreamExt, future, stream};
use kube::{
    Api, Resource,
    runtime::{
        watcher,
        watcher::{Config, Event},
    },
};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep};

/// How long a failure counts: twice the longest retry delay.
///
/// A recovered watch receives no event until an object changes, so a failure must expire by time.
const MEMORY: Duration = Duration::from_secs(60);
/// Number of failures that count as transient.
///
/// They come from a restarted API server or a lost connection.
const TOLERATED: u32 = 1;
/// Interval between two log lines of a failing watch.
const LOG_INTERVAL: Duration = Duration::from_secs(60);
/// Failures in a row after which a watch lists again.
///
/// Its resourceVersion may be of another etcd.
const FAILURES_BEFORE_LIST: u32 = 5;
/// How long the FlaskBlog watch may fail before the Lease is released.
///
/// Another instance may have a working connection.
const LONGEST_UNWATCHED: Duration = Duration::from_secs(300);

/// One watch: a kind, in one namespace or in all.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Watch {
    /// Kind of the objects.
    pub kind: String,
    /// Their namespace, or `None` for all.
    pub scope: Option<String>,
}

impl fmt::Display for Watch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the watch of {}", self.kind)?;
        self.scope.iter().try_for_each(|namespace| write!(formatter, " in namespace {namespace}"))
    }
}

/// The failures of each watch.
#[derive(Debug, Default)]
pub struct WatchFailures(Mutex<BTreeMap<Watch, Failures>>);

#[derive(Debug)]
struct Failures {
    in_a_row: u32,
    last: Instant,
    /// Since when the watch couldn't be started.
    unwatched: Option<Instant>,
    logged: Option<Instant>,
    words: String,
}

impl Failures {
    fn counts(&self) -> bool {
        self.in_a_row > TOLERATED && self.last.elapsed() < MEMORY
    }
}

impl WatchFailures {
    /// Records a failure and returns whether to log it. `began` if the watch had worked until then.
    #[must_use]
    pub fn failed(&self, watch: &Watch, words: String, began: bool) -> bool {
        let (now, mut all) = (Instant::now(), self.0.lock());
        let new = || Failures { in_a_row: 0, last: now, unwatched: None, logged: None, words: String::new() };
        let one = all.entry(watch.clone()).or_insert_with(new);
        if one.last.elapsed() >= MEMORY {
            (one.in_a_row, one.unwatched) = (0, None);
        }
        one.unwatched = if began { None } else { one.unwatched.or(Some(now)) };
        (one.in_a_row, one.last, one.words) = (one.in_a_row.saturating_add(1), now, words);
        let is_due = one.logged.is_none_or(|logged| logged.elapsed() >= LOG_INTERVAL);
        if is_due {
            one.logged = Some(now);
        }
        is_due
    }

    /// Records a success. A list alone proves no working watch.
    pub fn worked(&self, watch: &Watch, is_list: bool) {
        if let Some(one) = self.0.lock().get_mut(watch) {
            one.in_a_row = 0;
            one.unwatched = one.unwatched.filter(|_| is_list);
        }
    }

    /// A sentence for each watch that keeps failing.
    #[must_use]
    pub fn failing(&self) -> Vec<String> {
        let all = self.0.lock();
        let failing = all.iter().filter(|(_, one)| one.counts());
        failing.map(|(watch, one)| format!("{watch}, which fails: {}", one.words)).collect()
    }

    /// Whether the operator may miss changes.
    #[must_use]
    pub fn any_failing(&self) -> bool {
        self.0.lock().values().any(Failures::counts)
    }

    /// Waits until the FlaskBlog watch has failed for five minutes. Returns why.
    pub async fn blogs_unwatched(&self) -> String {
        loop {
            if let Some(words) = self.unwatched(&FlaskBlog::kind(&())) {
                return words;
            }
            sleep(Duration::from_secs(5)).await;
        }
    }

    fn unwatched(&self, kind: &str) -> Option<String> {
        let all = self.0.lock();
        let lasting = |one: &Failures| {
            let since = one.unwatched.filter(|_| one.last.elapsed() < MEMORY)?;
            Some(since.elapsed()).filter(|time| *time >= LONGEST_UNWATCHED)
        };
        let (watch, one, time) = all
            .iter()
            .filter(|(watch, _)| watch.kind == kind)
            .find_map(|(watch, one)| Some((watch, one, lasting(one)?)))?;
        Some(format!("{watch} has failed for {} s: {}", time.as_secs(), one.words))
    }
}

/// Watches, and lists again where [`watcher`] would keep an unusable resourceVersion.
///
/// This applies after HTTP status 410 or another refusal of the request, and after several failures in a row.
pub(crate) fn watch_and_relist<K>(
    api: Api<K>,
    config: Config,
) -> impl Stream<Item = watcher::Result<Event<K>>> + Send + 'static
where
    K: Resource + Clone + DeserializeOwned + fmt::Debug + Send + 'static,
{
    stream::repeat_with(move || until_stale(watcher(api.clone(), config.clone()))).flatten()
}

fn until_stale<K>(
    watch: impl Stream<Item = watcher::Result<Event<K>>>,
) -> impl Stream<Item = watcher::Result<Event<K>>> {
    watch.scan(0, |failures, event| {
        if *failures >= FAILURES_BEFORE_LIST {
            return future::ready(None);
        }
        *failures = match &event {
            Ok(_) => 0,
            Err(error) if is_refused_start(error) => FAILURES_BEFORE_LIST,
            Err(_) => *failures + 1,
        };
        future::ready(Some(event))
    })
}

/// Whether the server refused the request itself. A missing permission or throttling needs no list.
fn is_refused_start(error: &watcher::Error) -> bool {
    let watcher::Error::WatchStartFailed(kube::Error::Api(status)) = error else { return false };
    (400..500).contains(&status.code) && !matches!(status.code, 401 | 403 | 429)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(kind: &str, scope: Option<&str>) -> Watch {
        Watch { kind: kind.into(), scope: scope.map(str::to_owned) }
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_fails_twice_is_named_until_it_works_or_is_quiet_for_a_minute() {
        let (watches, secrets) = (WatchFailures::default(), watch("Secret", None));
        let failed = |words: &str| {
            let _ = watches.failed(&secrets, words.to_owned(), false);
        };
        failed("forbidden");
        assert!(!watches.any_failing(), "once is no news");
        failed("still forbidden");
        assert_eq!(watches.failing(), ["the watch of Secret, which fails: still forbidden"]);
        watches.worked(&secrets, false);
        assert!(!watches.any_failing());
        failed("a");
        failed("b");
        tokio::time::advance(MEMORY).await;
        assert!(!watches.any_failing());
        failed("c");
        assert!(!watches.any_failing(), "a failure after a long while is the first one again");
    }

    #[tokio::test(start_paused = true)]
    async fn a_failing_watch_is_not_hidden_by_one_of_another_namespace() {
        let watches = WatchFailures::default();
        for _ in 0..2 {
            let _ = watches.failed(&watch("Secret", Some("n2")), "forbidden".into(), false);
            watches.worked(&watch("Secret", Some("n1")), false);
        }
        assert_eq!(watches.failing(), ["the watch of Secret in namespace n2, which fails: forbidden"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_keeps_failing_is_logged_once_a_minute() {
        let (watches, secrets) = (WatchFailures::default(), watch("Secret", None));
        let mut logged = 0;
        for _second in 0..180 {
            logged += u32::from(watches.failed(&secrets, "forbidden".into(), false));
            watches.worked(&secrets, false);
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!(logged, 3);
    }

    #[tokio::test(start_paused = true)]
    async fn blogs_are_unwatched_after_five_minutes_of_failures() {
        let (watches, blogs) = (WatchFailures::default(), watch("FlaskBlog", None));
        for _ in 0..10 {
            assert_eq!(watches.unwatched("FlaskBlog"), None);
            let _ = watches.failed(&blogs, "forbidden".into(), false);
            watches.worked(&blogs, true);
            let _ = watches.failed(&watch("FlaskBlog", Some("n")), "reset".into(), true);
            tokio::time::advance(Duration::from_secs(30)).await;
        }
        assert_eq!(watches.unwatched("Secret"), None);
        assert_eq!(watches.blogs_unwatched().await, "the watch of FlaskBlog has failed for 300 s: forbidden");
        watches.worked(&blogs, false);
        assert_eq!(watches.unwatched("FlaskBlog"), None);
    }
}
