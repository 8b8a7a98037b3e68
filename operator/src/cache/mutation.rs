//! Mutation cache of child objects, as client-go's: watch events merged with this process's own reads and writes.
//!
//! The newest resourceVersion wins. Versions are growing numbers (KEP-5504). An object with another kind of version isn't
//! cached. A stale watch event never replaces a newer write. While a watch fails, and at every resync, all objects are read
//! from the API server.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use flaskblog_api::OwnedKind;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Resource, api::DynamicObject, runtime::watcher::Event};
use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};

use parking_lot::Mutex;

use crate::cache::{
    compressed::{CompressedObject, Dictionaries},
    wire_format::LazyObject,
};

/// Children of all blogs, by kind, namespace and name.
#[derive(Debug, Default)]
pub struct MutationCache {
    all: Mutex<All>,
    listed: Notify,
}

#[derive(Debug, Default)]
struct All {
    entries: HashMap<Key, Entry>,
    /// Time of a blog's next full read, by its uid.
    looks: HashMap<String, Instant>,
    /// Kinds and namespaces (none means all) whose initial list is complete.
    complete: HashSet<(OwnedKind, Option<Box<str>>)>,
    /// Watches whose initial list isn't complete.
    awaited: HashSet<(OwnedKind, Option<String>)>,
    /// Versions of recent deletions: a late response doesn't bring the object back.
    gone: HashMap<Key, (u64, Instant)>,
    models: Dictionaries,
}

/// Longest wait for the initial lists. An object that isn't cached is read.
const PATIENCE: Duration = Duration::from_secs(5);

/// Latest arrival of a response.
const LATEST_ANSWER: Duration = Duration::from_secs(60);
/// Deletions that are cached before old ones are evicted.
const MANY_GONE: usize = 256;

type Key = (OwnedKind, Box<str>, Box<str>);

#[derive(Debug, Default)]
struct Entry {
    /// The version of the last watch event.
    watched: Option<u64>,
    /// The newest version of all sources, and the object.
    known: Option<(u64, CompressedObject)>,
}

impl Entry {
    fn knows(&self, version: u64) -> bool {
        self.known.as_ref().is_some_and(|(known, _)| *known >= version)
    }
}

impl All {
    fn is_complete(&self, kind: OwnedKind, namespace: &str) -> bool {
        self.complete.contains(&(kind, None)) || self.complete.contains(&(kind, Some(namespace.into())))
    }

    /// Caches the object, if it is newer than the cached one.
    fn learn(&mut self, key: &Key, version: u64, object: &DynamicObject) {
        if self.is_news(key, version)
            && let Some(packed) = self.models.pack(key.0, object)
        {
            self.entries.entry(key.clone()).or_default().known = Some((version, packed));
        }
    }

    /// Whether this version is newer than cache and recent deletion.
    fn is_news(&self, key: &Key, version: u64) -> bool {
        let is_gone = self.gone.get(key).is_some_and(|(gone, _)| *gone >= version);
        !is_gone && !self.entries.get(key).is_some_and(|entry| entry.knows(version))
    }

    /// Evicts a deleted object, unless one of its name has been recreated.
    fn delete(&mut self, key: Key, version: Option<u64>) {
        match (version, self.entries.get_mut(&key)) {
            (Some(version), Some(entry)) if entry.knows(version + 1) => entry.watched = None,
            _ => drop(self.entries.remove(&key)),
        }
        if self.gone.len() > MANY_GONE {
            self.gone.retain(|_, (_, when)| when.elapsed() < LATEST_ANSWER);
        }
        if let Some(version) = version {
            self.gone.insert(key, (version, Instant::now()));
        }
    }
}

impl MutationCache {
    /// Registers a watch that is about to start.
    pub fn register_watch(&self, kind: OwnedKind, scope: Option<&str>) {
        self.all.lock().awaited.insert((kind, scope.map(str::to_owned)));
    }

    /// Waits for the initial lists of all watches, up to a limit.
    pub async fn wait_for_sync(&self) {
        let complete = async {
            loop {
                let mut next = std::pin::pin!(self.listed.notified());
                next.as_mut().enable();
                if self.all.lock().awaited.is_empty() {
                    return;
                }
                next.await;
            }
        };
        if timeout(PATIENCE, complete).await.is_err() {
            self.all.lock().awaited.clear();
        }
    }

    /// Merges a watch event. Returns whether it is newer than the cache.
    ///
    /// A restarted watch reports no deletions of the meantime, so its start clears the cache of its scope.
    pub fn observe_event(&self, kind: OwnedKind, scope: Option<&str>, event: &Event<LazyObject>) -> bool {
        match event {
            Event::Init => {
                let mut all = self.all.lock();
                all.complete.remove(&(kind, scope.map(Into::into)));
                all.entries.retain(|(of, namespace, _), _| {
                    *of != kind || scope.is_some_and(|scope| scope != &**namespace)
                });
            }
            Event::InitApply(object) | Event::Apply(object) => return self.told(kind, object),
            Event::Delete(object) => self.all.lock().delete(key(kind, object.meta()), version(object.meta())),
            Event::InitDone => {
                let mut all = self.all.lock();
                all.complete.insert((kind, scope.map(Into::into)));
                all.awaited.remove(&(kind, scope.map(str::to_owned)));
                drop(all);
                self.listed.notify_waiters();
            }
        }
        true
    }

    /// The newest state of an object. `None` if it is absent or may be stale.
    #[must_use]
    pub fn current(&self, kind: OwnedKind, namespace: &str, name: &str) -> Option<DynamicObject> {
        let all = self.all.lock();
        let entry = all.entries.get(&(kind, namespace.into(), name.into()))?;
        let (_, object) = entry.known.as_ref()?;
        // Until the initial list is complete, only the objects that it has delivered are watched.
        if entry.watched.is_none() && !all.is_complete(kind, namespace) {
            return None;
        }
        object.unpacked()
    }

    /// Whether a complete watch reports no managed object of that name. Unmanaged objects aren't watched.
    #[must_use]
    pub fn is_absent(&self, kind: OwnedKind, namespace: &str, name: &str) -> bool {
        let all = self.all.lock();
        all.is_complete(kind, namespace) && !all.entries.contains_key(&(kind, namespace.into(), name.into()))
    }

    /// Caches an object that was read or written.
    pub fn insert(&self, kind: OwnedKind, object: &DynamicObject) {
        let Some(version) = version(&object.metadata) else { return };
        self.all.lock().learn(&key(kind, &object.metadata), version, object);
    }

    /// Removes an object that a read didn't find.
    pub fn remove(&self, kind: OwnedKind, namespace: &str, name: &str) {
        self.all.lock().entries.remove(&(kind, namespace.into(), name.into()));
    }

    /// Marks an object as stale. It is read before the next use.
    ///
    /// Its watch event may be lost.
    pub fn invalidate_object(&self, kind: OwnedKind, namespace: &str, name: &str) {
        if let Some(entry) = self.all.lock().entries.get_mut(&(kind, namespace.into(), name.into())) {
            entry.known = None;
        }
    }

    /// Merges one object of a watch event.
    ///
    /// It is parsed only if it is newer, and outside of the lock.
    fn told(&self, kind: OwnedKind, object: &LazyObject) -> bool {
        let Some(version) = version(object.meta()) else { return true };
        let key = key(kind, object.meta());
        let is_news = self.all.lock().is_news(&key, version);
        let whole = if is_news { object.whole().ok() } else { None };
        let mut all = self.all.lock();
        if let Some(whole) = whole {
            all.learn(&key, version, &whole);
        }
        if let Some(entry) = all.entries.get_mut(&key) {
            entry.watched = entry.watched.max(Some(version));
        }
        is_news
    }

    /// Whether a full read of a blog is due after that interval. Returns `true` once.
    pub fn is_due(&self, uid: &str, interval: Duration) -> bool {
        let (now, mut all) = (Instant::now(), self.all.lock());
        let first = !all.looks.contains_key(uid);
        let due = all.looks.get(uid).is_some_and(|look| *look <= now);
        if first || due {
            all.looks.insert(uid.to_owned(), now + interval);
        }
        due
    }

    /// Makes the next reconcile of a blog read all its objects.
    pub fn invalidate(&self, uid: &str) {
        self.all.lock().looks.insert(uid.to_owned(), Instant::now());
    }

    /// Removes a deleted blog.
    pub fn forget(&self, uid: &str) {
        self.all.lock().looks.remove(uid);
    }
}

fn version(object: &ObjectMeta) -> Option<u64> {
    object.resource_version.as_deref()?.parse().ok()
}

fn key(kind: OwnedKind, object: &ObjectMeta) -> Key {
    let text = |part: &Option<String>| part.as_deref().unwrap_or_default().into();
    (kind, text(&object.namespace), text(&object.name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const KIND: OwnedKind = OwnedKind::Deployment;

    fn object(version: &str) -> DynamicObject {
        let object =
            json!({"metadata": {"name": "x", "namespace": "n", "resourceVersion": version}, "spec": {}});
        serde_json::from_value(object).unwrap()
    }

    fn told(version: &str) -> LazyObject {
        serde_json::from_str(&json!(object(version)).to_string()).unwrap()
    }

    fn watching() -> MutationCache {
        let seen = MutationCache::default();
        seen.observe_event(KIND, None, &Event::Init);
        seen.observe_event(KIND, None, &Event::InitDone);
        seen
    }

    fn known(seen: &MutationCache) -> Option<String> {
        seen.current(KIND, "n", "x")?.metadata.resource_version
    }

    #[test]
    fn without_a_watch_nothing_is_known() {
        let seen = MutationCache::default();
        seen.insert(KIND, &object("5"));
        assert_eq!(known(&seen), None);
        assert!(!seen.is_absent(KIND, "n", "y"));
    }

    #[test]
    fn what_was_written_is_known_until_the_watch_tells_something_newer_and_its_echo_is_no_news() {
        let seen = watching();
        assert!(seen.is_absent(KIND, "n", "x"));
        seen.insert(KIND, &object("5"));
        assert_eq!(known(&seen).as_deref(), Some("5"));
        assert!(!seen.observe_event(KIND, None, &Event::Apply(told("4"))), "the watch lags");
        assert!(
            !seen.observe_event(KIND, None, &Event::Apply(told("5"))),
            "the watch tells what was written"
        );
        assert_eq!(known(&seen).as_deref(), Some("5"));
        assert!(
            seen.observe_event(KIND, None, &Event::Apply(told("10"))),
            "newer as a number, not as a text"
        );
        assert_eq!(known(&seen).as_deref(), Some("10"));
    }

    #[test]
    fn a_late_answer_does_not_bring_back_what_was_deleted_and_a_late_deletion_not_take_what_was_made_anew() {
        let seen = watching();
        assert!(seen.observe_event(KIND, None, &Event::Apply(told("5"))));
        assert!(seen.observe_event(KIND, None, &Event::Delete(told("7"))));
        seen.insert(KIND, &object("6"));
        assert!(known(&seen).is_none() && seen.is_absent(KIND, "n", "x"));
        seen.insert(KIND, &object("9"));
        seen.observe_event(KIND, None, &Event::Delete(told("8")));
        assert_eq!(known(&seen).as_deref(), Some("9"));
    }

    #[test]
    fn an_object_that_a_read_does_not_find_is_forgotten() {
        let seen = watching();
        seen.observe_event(KIND, None, &Event::Apply(told("5")));
        seen.remove(KIND, "n", "x");
        assert!(known(&seen).is_none() && seen.is_absent(KIND, "n", "x"));
    }

    #[test]
    fn a_distrusted_object_is_unknown_but_not_absent() {
        let seen = watching();
        seen.observe_event(KIND, None, &Event::Apply(told("5")));
        seen.invalidate_object(KIND, "n", "x");
        assert!(known(&seen).is_none() && !seen.is_absent(KIND, "n", "x"));
        seen.insert(KIND, &object("5"));
        assert_eq!(known(&seen).as_deref(), Some("5"));
    }

    #[test]
    fn a_watch_that_begins_anew_makes_everything_uncertain_and_a_version_that_is_no_number_too() {
        let seen = watching();
        seen.observe_event(KIND, None, &Event::Apply(told("5")));
        seen.observe_event(KIND, None, &Event::Init);
        assert!(known(&seen).is_none() && !seen.is_absent(KIND, "n", "x"));
        seen.observe_event(KIND, None, &Event::InitDone);
        assert!(seen.observe_event(KIND, None, &Event::Apply(told("five"))));
        assert_eq!(known(&seen), None);
    }
}
