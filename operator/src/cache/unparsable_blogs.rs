//! FlaskBlogs as the watch receives them. An unparsable one is reported in its own status and blocks no other.
//!
//! It may match the schema of a newer release, which stays in the cluster when the operator is rolled back.

use std::{borrow::Cow, collections::HashMap, time::Duration};

use flaskblog_api::{FlaskBlog, FlaskBlogStatus};
use k8s_openapi::{
    NamespaceResourceScope,
    apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta},
};
use kube::{Resource, runtime::watcher::Event};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use parking_lot::Mutex;

use crate::cache::wire_format::Metadata;

/// A FlaskBlog, or the readable parts of an unparsable one.
#[derive(Clone, Debug)]
pub enum ReceivedBlog {
    /// It matches the schema of this release.
    Parsed(Box<FlaskBlog>),
    /// It doesn't.
    Unparsable(Box<Unparsable>),
}

/// Identity and conditions of a FlaskBlog that can't be parsed.
#[derive(Clone, Debug)]
pub struct Unparsable {
    /// Default spec, its own metadata, and its conditions if parsable.
    pub stub: FlaskBlog,
    /// The field and its error.
    pub cause: String,
}

impl Unparsable {
    fn parse(text: &str, cause: String) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Head {
            metadata: Metadata,
        }
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Tail {
            status: Status,
        }
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Status {
            conditions: Vec<Condition>,
        }
        let head: Head = serde_json::from_str(text)?;
        let Status { conditions } = serde_json::from_str::<Tail>(text).unwrap_or_default().status;
        let stub = FlaskBlog {
            metadata: head.metadata.into(),
            spec: serde_json::from_str("{}")?,
            status: Some(FlaskBlogStatus { conditions, ..FlaskBlogStatus::default() }),
        };
        Ok(Self { stub, cause })
    }
}

impl<'de> Deserialize<'de> for ReceivedBlog {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(from)?;
        if let Ok(blog) = serde_json::from_str(text.get()) {
            return Ok(Self::Parsed(blog));
        }
        // Parsed again only after an error, since tracking the path of every field is slower.
        let mut again = serde_json::Deserializer::from_str(text.get());
        match serde_path_to_error::deserialize(&mut again) {
            Ok(blog) => Ok(Self::Parsed(blog)),
            Err(error) => {
                let cause = format!("{}: {}", error.path(), error.inner());
                let unparsable = Unparsable::parse(text.get(), cause).map_err(serde::de::Error::custom)?;
                Ok(Self::Unparsable(Box::new(unparsable)))
            }
        }
    }
}

impl Resource for ReceivedBlog {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        FlaskBlog::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        FlaskBlog::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        FlaskBlog::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        FlaskBlog::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        match self {
            Self::Parsed(blog) => &blog.metadata,
            Self::Unparsable(blog) => &blog.stub.metadata,
        }
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        match self {
            Self::Parsed(blog) => &mut blog.metadata,
            Self::Unparsable(blog) => &mut blog.stub.metadata,
        }
    }
}

/// Namespace and name.
type Key = (String, String);

/// Unparsable FlaskBlogs, each until it is parsable or deleted.
#[derive(Debug, Default)]
pub struct UnparsableBlogs {
    all: Mutex<HashMap<Key, Entry>>,
    changed: Notify,
}

#[derive(Debug)]
struct Entry {
    blog: Box<Unparsable>,
    /// When to report it, or `None` once reported.
    due: Option<Instant>,
}

impl UnparsableBlogs {
    /// Records unparsable blogs, and returns the event without them.
    pub fn sort_out(&self, scope: Option<&str>, event: Event<ReceivedBlog>) -> Option<Event<FlaskBlog>> {
        match event {
            Event::Init => {
                self.all.lock().retain(|(namespace, _), _| scope.is_some_and(|scope| scope != namespace));
                Some(Event::Init)
            }
            Event::InitDone => Some(Event::InitDone),
            Event::InitApply(ReceivedBlog::Parsed(blog)) => Some(Event::InitApply(*blog)),
            Event::InitApply(ReceivedBlog::Unparsable(blog)) => {
                self.insert(blog);
                None
            }
            Event::Apply(ReceivedBlog::Parsed(blog)) => {
                self.all.lock().remove(&key(&blog.metadata));
                Some(Event::Apply(*blog))
            }
            Event::Apply(ReceivedBlog::Unparsable(blog)) => {
                let stub = blog.stub.clone();
                self.insert(blog);
                Some(Event::Delete(stub))
            }
            Event::Delete(blog) => {
                self.all.lock().remove(&key(blog.meta()));
                Some(Event::Delete(match blog {
                    ReceivedBlog::Parsed(blog) => *blog,
                    ReceivedBlog::Unparsable(blog) => blog.stub,
                }))
            }
        }
    }

    /// Whether this FlaskBlog exists and is unparsable.
    #[must_use]
    pub fn contains(&self, namespace: &str, name: &str) -> bool {
        self.all.lock().contains_key(&(namespace.to_owned(), name.to_owned()))
    }

    fn insert(&self, blog: Box<Unparsable>) {
        let entry = Entry { due: Some(Instant::now()), blog };
        self.all.lock().insert(key(&entry.blog.stub.metadata), entry);
        self.changed.notify_one();
    }

    /// Waits for the next blog to report.
    pub async fn next(&self) -> Box<Unparsable> {
        loop {
            let first = {
                let mut all = self.all.lock();
                let first = all.values_mut().filter(|one| one.due.is_some()).min_by_key(|one| one.due);
                match first {
                    Some(entry) if entry.due <= Some(Instant::now()) => {
                        entry.due = None;
                        return entry.blog.clone();
                    }
                    first => first.and_then(|entry| entry.due),
                }
            };
            match first {
                Some(due) => {
                    tokio::select! { () = sleep_until(due) => {}, () = self.changed.notified() => {} }
                }
                None => self.changed.notified().await,
            }
        }
    }

    /// Reports the blog again after the delay, unless it has changed since.
    pub fn retry(&self, blog: &Unparsable, delay: Duration) {
        if let Some(entry) = self.all.lock().get_mut(&key(&blog.stub.metadata)) {
            entry.due.get_or_insert(Instant::now() + delay);
        }
    }
}

fn key(metadata: &ObjectMeta) -> Key {
    (metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn received(name: &str, spec: Value) -> ReceivedBlog {
        let blog = json!({"apiVersion": "flaskblog.dev/v1alpha1", "kind": "FlaskBlog", "spec": spec,
            "metadata": {"name": name, "namespace": "press", "uid": name, "resourceVersion": "1"},
            "status": {"conditions": [{"type": "Ready", "status": "True", "reason": "Ready", "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z"}]}});
        serde_json::from_str(&blog.to_string()).unwrap()
    }

    #[test]
    fn an_unparsable_blog_names_the_field_and_keeps_its_conditions() {
        let ReceivedBlog::Unparsable(blog) = received("new", json!({"registration": "Invite"})) else {
            panic!("it was parsed")
        };
        assert!(blog.cause.starts_with("spec.registration: unknown variant `Invite`"), "{}", blog.cause);
        assert_eq!(blog.stub.status.unwrap().conditions[0].reason, "Ready");
    }

    #[test]
    fn others_see_an_unparsable_blog_as_gone_until_it_can_be_parsed() {
        let blogs = UnparsableBlogs::default();
        let bad = || received("new", json!({"registration": "Invite"}));
        assert!(blogs.sort_out(None, Event::InitApply(bad())).is_none() && blogs.contains("press", "new"));
        let event = blogs.sort_out(None, Event::Apply(bad()));
        assert!(matches!(event, Some(Event::Delete(blog)) if blog.metadata.uid.as_deref() == Some("new")));
        let event = blogs.sort_out(None, Event::Apply(received("new", json!({}))));
        assert!(matches!(event, Some(Event::Apply(_))) && !blogs.contains("press", "new"));
        blogs.sort_out(None, Event::InitApply(bad()));
        blogs.sort_out(Some("other"), Event::Init);
        assert!(blogs.contains("press", "new"));
        blogs.sort_out(Some("press"), Event::Init);
        assert!(!blogs.contains("press", "new"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_report_is_due_again_after_its_delay() {
        let blogs = UnparsableBlogs::default();
        blogs.sort_out(None, Event::InitApply(received("new", json!({"registration": "Invite"}))));
        let blog = blogs.next().await;
        blogs.retry(&blog, Duration::from_secs(8));
        let asked = Instant::now();
        blogs.next().await;
        assert_eq!(asked.elapsed().as_secs(), 8);
    }
}
