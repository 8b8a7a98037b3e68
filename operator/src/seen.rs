//! What of the children is known without asking: an object as it was last read or written, for as long as the watch says
//! that this is its newest version.
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
use kube::{Resource, ResourceExt, api::DynamicObject, runtime::watcher::Event};
use tokio::time::Instant;

/// Versions that the watches have told, and objects as they were read or written.
#[derive(Debug, Default)]
pub struct Seen(Mutex<All>);

#[derive(Debug, Default)]
struct All {
    entries: HashMap<Key, Entry>,
    /// When everything of a blog, by its uid, was last read.
    looks: HashMap<String, Instant>,
    /// Kinds and namespaces (none means all) whose watch has told of everything that there is.
    complete: HashSet<(OwnedKind, Option<Box<str>>)>,
}

type Key = (OwnedKind, Box<str>, Box<str>);

#[derive(Debug, Default)]
struct Entry {
    watched: Option<Box<str>>,
    known: Option<(Box<str>, Box<[u8]>)>,
}

impl Seen {
    /// Takes in what a watch tells. At the beginning of a watch nothing is certain: of what vanished meanwhile it won't speak.
    pub fn note<K: Resource>(&self, kind: OwnedKind, scope: Option<&str>, event: &Event<K>) {
        match event {
            Event::Init => {
                let mut all = self.lock();
                all.complete.remove(&(kind, scope.map(Into::into)));
                all.entries.retain(|(of, namespace, _), _| {
                    *of != kind || scope.is_some_and(|scope| scope != &**namespace)
                });
            }
            Event::InitApply(object) | Event::Apply(object) => {
                let version = object.resource_version().map(String::into_boxed_str);
                self.lock().entries.entry(key(kind, object)).or_default().watched = version;
            }
            Event::Delete(object) => {
                self.lock().entries.remove(&key(kind, object));
            }
            Event::InitDone => {
                self.lock().complete.insert((kind, scope.map(Into::into)));
            }
        }
    }

    /// The object, if it can't have changed since it was read or written.
    #[must_use]
    pub fn current(&self, kind: OwnedKind, namespace: &str, name: &str) -> Option<DynamicObject> {
        let all = self.lock();
        let entry = all.entries.get(&(kind, namespace.into(), name.into()))?;
        let (version, object) = entry.known.as_ref()?;
        (Some(version) == entry.watched.as_ref()).then(|| serde_json::from_slice(object).ok())?
    }

    /// Whether there is no object of ours by that name, as a watch says that has told of everything.
    #[must_use]
    pub fn is_absent(&self, kind: OwnedKind, namespace: &str, name: &str) -> bool {
        let all = self.lock();
        let complete =
            all.complete.contains(&(kind, None)) || all.complete.contains(&(kind, Some(namespace.into())));
        complete && !all.entries.contains_key(&(kind, namespace.into(), name.into()))
    }

    /// Remembers an object that was just read or written. Who owns which field isn't needed and is half of it.
    pub fn remember(&self, kind: OwnedKind, object: &DynamicObject) {
        let Some(version) = object.resource_version() else { return };
        let mut slim = object.clone();
        slim.metadata.managed_fields = None;
        let Ok(bytes) = serde_json::to_vec(&slim) else { return };
        let known = Some((version.into_boxed_str(), bytes.into_boxed_slice()));
        self.lock().entries.entry(key(kind, object)).or_default().known = known;
    }

    /// Whether everything of a blog is to be read anew, since that was last done so long ago or never. Answers so once.
    pub fn is_due(&self, uid: &str, interval: Duration) -> bool {
        let mut all = self.lock();
        let due = all.looks.get(uid).is_none_or(|look| look.elapsed() >= interval);
        if due {
            all.looks.insert(uid.to_owned(), Instant::now());
        }
        due
    }

    /// The next look at this blog reads everything anew.
    pub fn forget(&self, uid: &str) {
        self.lock().looks.remove(uid);
    }

    /// A panic while writing leaves a usable map: at worst an object is read once more.
    fn lock(&self) -> MutexGuard<'_, All> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(kind: OwnedKind, object: &impl Resource) -> Key {
    let name = object.meta().name.as_deref().unwrap_or_default();
    (kind, object.meta().namespace.as_deref().unwrap_or_default().into(), name.into())
}
