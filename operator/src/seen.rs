//! What of the children is known without asking: an object as a watch told, or as it was last read or written, for as long as
//! the watch says that this is its newest version.
//!
//! This is no cache that decides: where watch and knowledge don't name the very same version (the watch lags, somebody has
//! written, the object is gone), the object is read. So a stale watch can only do what it always could, be late. And at every
//! periodic look everything is read anew.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use flaskblog_api::OwnedKind;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Resource, ResourceExt, api::DynamicObject, runtime::watcher::Event};
use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};

/// Versions that the watches have told, and objects as they were read or written.
#[derive(Debug, Default)]
pub struct Seen {
    all: Mutex<All>,
    listed: Notify,
}

#[derive(Debug, Default)]
struct All {
    entries: HashMap<Key, Entry>,
    /// When everything of a blog, by its uid, is to be read anew, whatever the watches say.
    looks: HashMap<String, Instant>,
    /// Kinds and namespaces (none means all) whose watch has told of everything that there is.
    complete: HashSet<(OwnedKind, Option<Box<str>>)>,
    /// The watches that haven't told yet what there is.
    awaited: HashSet<(OwnedKind, Option<String>)>,
}

/// A first list that takes longer is not waited for: what isn't known is read.
const PATIENCE: Duration = Duration::from_secs(5);

type Key = (OwnedKind, Box<str>, Box<str>);

#[derive(Debug, Default)]
struct Entry {
    watched: Option<Box<str>>,
    known: Option<(Box<str>, Box<[u8]>)>,
}

impl Seen {
    /// A watch is about to begin.
    pub fn expect(&self, kind: OwnedKind, scope: Option<&str>) {
        self.lock().awaited.insert((kind, scope.map(str::to_owned)));
    }

    /// Waits until every watch has told what there is, or has had its time.
    pub async fn all_listed(&self) {
        let complete = async {
            loop {
                let mut next = std::pin::pin!(self.listed.notified());
                next.as_mut().enable();
                if self.lock().awaited.is_empty() {
                    return;
                }
                next.await;
            }
        };
        if timeout(PATIENCE, complete).await.is_err() {
            self.lock().awaited.clear();
        }
    }

    /// Takes in what a watch tells. At the beginning of a watch nothing is certain: of what vanished meanwhile it won't speak.
    pub fn note(&self, kind: OwnedKind, scope: Option<&str>, event: &Event<DynamicObject>) {
        match event {
            Event::Init => {
                let mut all = self.lock();
                all.complete.remove(&(kind, scope.map(Into::into)));
                all.entries.retain(|(of, namespace, _), _| {
                    *of != kind || scope.is_some_and(|scope| scope != &**namespace)
                });
            }
            Event::InitApply(object) | Event::Apply(object) => {
                self.remember(kind, object);
                let version = object.resource_version().map(String::into_boxed_str);
                self.lock().entries.entry(key(kind, object)).or_default().watched = version;
            }
            Event::Delete(object) => {
                self.lock().entries.remove(&key(kind, object));
            }
            Event::InitDone => {
                self.lock().complete.insert((kind, scope.map(Into::into)));
                self.lock().awaited.remove(&(kind, scope.map(str::to_owned)));
                self.listed.notify_waiters();
            }
        }
    }

    /// The object, if it can't have changed since it was read or written.
    #[must_use]
    pub fn current(&self, kind: OwnedKind, namespace: &str, name: &str) -> Option<DynamicObject> {
        let all = self.lock();
        let entry = all.entries.get(&(kind, namespace.into(), name.into()))?;
        let (version, object) = entry.known.as_ref()?;
        if Some(version) != entry.watched.as_ref() {
            return None;
        }
        let (metadata, data) = serde_json::from_slice(object).ok()?;
        Some(DynamicObject { types: None, metadata, data })
    }

    /// Whether there is no object of ours by that name, as a watch says that has told of everything.
    #[must_use]
    pub fn is_absent(&self, kind: OwnedKind, namespace: &str, name: &str) -> bool {
        let all = self.lock();
        let complete =
            all.complete.contains(&(kind, None)) || all.complete.contains(&(kind, Some(namespace.into())));
        complete && !all.entries.contains_key(&(kind, namespace.into(), name.into()))
    }

    /// Remembers an object. Who owns which field isn't needed and is half of it.
    pub fn remember(&self, kind: OwnedKind, object: &DynamicObject) {
        let Some(version) = object.metadata.resource_version.as_deref() else { return };
        let key = key(kind, object);
        let is_it = |entry: &Entry| entry.known.as_ref().is_some_and(|(known, _)| **known == *version);
        if self.lock().entries.get(&key).is_some_and(is_it) {
            return;
        }
        let metadata = ObjectMeta { managed_fields: None, ..object.metadata.clone() };
        // Apart, as reading an object whose fields are among others takes half as long again.
        let Ok(bytes) = serde_json::to_vec(&(metadata, &object.data)) else { return };
        self.lock().entries.entry(key).or_default().known = Some((version.into(), bytes.into_boxed_slice()));
    }

    /// Whether everything of a blog is to be read anew, since that was last done so long ago. Answers so once.
    pub fn is_due(&self, uid: &str, interval: Duration) -> bool {
        let (now, mut all) = (Instant::now(), self.lock());
        let first = !all.looks.contains_key(uid);
        let due = all.looks.get(uid).is_some_and(|look| *look <= now);
        if first || due {
            all.looks.insert(uid.to_owned(), now + interval);
        }
        due
    }

    /// The next look at this blog reads everything anew.
    pub fn doubt(&self, uid: &str) {
        self.lock().looks.insert(uid.to_owned(), Instant::now());
    }

    /// The blog is gone.
    pub fn forget(&self, uid: &str) {
        self.lock().looks.remove(uid);
    }

    /// A panic while writing leaves a usable map: at worst an object is read once more.
    fn lock(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(kind: OwnedKind, object: &impl Resource) -> Key {
    let name = object.meta().name.as_deref().unwrap_or_default();
    (kind, object.meta().namespace.as_deref().unwrap_or_default().into(), name.into())
}
