//! Statuses that this process has written, until the FlaskBlog watch reports them.
//!
//! Without them a reconcile could read a stale status, find it correct, and keep the newer wrong one.

use parking_lot::Mutex;
use std::{collections::HashMap, sync::Arc};

use flaskblog_api::FlaskBlog;
use kube::ResourceExt;

/// Writes of one blog by which its watch may lag behind.
const LATE: usize = 16;

/// The newest written state of each blog, by its uid.
#[derive(Debug, Default)]
pub struct StatusWrites(Mutex<HashMap<String, Newest>>);

#[derive(Debug)]
struct Newest {
    blog: Arc<FlaskBlog>,
    /// Versions that are older.
    superseded: Vec<String>,
}

impl StatusWrites {
    /// The blog with the last written status, if the watch is stale.
    #[must_use]
    pub fn newest(&self, told: Arc<FlaskBlog>) -> Arc<FlaskBlog> {
        let (uid, version) = (told.uid().unwrap_or_default(), told.resource_version().unwrap_or_default());
        match self.0.lock().get(&uid) {
            Some(newest) if newest.superseded.contains(&version) => Arc::clone(&newest.blog),
            _ => told,
        }
    }

    /// Records a watch event.
    ///
    /// The event's object replaces the response to a write, so it costs no memory of its own.
    pub fn observe_event(&self, blog: Arc<FlaskBlog>) {
        let (uid, version) = (blog.uid().unwrap_or_default(), blog.resource_version().unwrap_or_default());
        if let Some(newest) = self.0.lock().get_mut(&uid).filter(|one| !one.superseded.contains(&version)) {
            newest.blog = blog;
        }
    }

    /// Caches a written status.
    ///
    /// `before` is the base of the write, `after` the response.
    pub fn insert(&self, before: &FlaskBlog, after: FlaskBlog) {
        let (Some(uid), Some(version)) = (after.uid(), before.resource_version()) else { return };
        let mut all = self.0.lock();
        let mut superseded = all.remove(&uid).map(|newest| newest.superseded).unwrap_or_default();
        superseded.push(version);
        if superseded.len() > LATE {
            superseded.remove(0);
        }
        all.insert(uid, Newest { blog: Arc::new(after), superseded });
    }

    /// Evicts a deleted blog.
    pub fn forget(&self, uid: &str) {
        self.0.lock().remove(uid);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn blog(version: &str) -> Arc<FlaskBlog> {
        let blog = json!({"apiVersion": "flaskblog.dev/v1alpha1", "kind": "FlaskBlog", "spec": {},
            "metadata": {"name": "daily", "uid": "u", "resourceVersion": version}});
        Arc::new(serde_json::from_value(blog).unwrap())
    }

    fn version(written: &StatusWrites, told: &str) -> String {
        written.newest(blog(told)).resource_version().unwrap()
    }

    #[test]
    fn a_late_watch_does_not_bring_back_an_older_status() {
        let written = StatusWrites::default();
        written.insert(&blog("1"), (*blog("2")).clone());
        written.insert(&blog("2"), (*blog("3")).clone());
        assert_eq!(version(&written, "1"), "3");
        assert_eq!(version(&written, "2"), "3");
        assert_eq!(version(&written, "4"), "4", "somebody else has changed it since");
    }
}
