//! Recorders of Kubernetes Events, sharded by blog and limited by reason.

use std::{
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    num::NonZeroU32,
    time::Duration,
};

use flaskblog_api::FlaskBlog;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use k8s_controller::events::{EventRecorder, Reporter};
use kube::Client;

/// Number of recorders that share the blogs.
const RECORDERS: u64 = 64;

/// Burst of Events per blog and reason
/// (<https://github.com/kubernetes/client-go/blob/master/tools/record/events_cache.go>).
const BURST: NonZeroU32 = NonZeroU32::MIN.saturating_add(24);
/// Interval at which one more Event is allowed after a burst.
const REFILL: Duration = Duration::from_secs(300);
/// Largest number of limits, past which full ones are dropped.
const LIMITS: usize = 20_000;

/// Publishes Events, at most 5 s each, repeats aggregated.
///
/// A recorder caches published Events for some minutes and scans all of them at each publish. One recorder for all blogs would
/// become slower with the number of blogs.
pub struct EventRecorders {
    recorders: Vec<EventRecorder>,
    /// Rate limits by the uid of the blog and the reason.
    limits: DefaultKeyedRateLimiter<(String, String)>,
}

impl fmt::Debug for EventRecorders {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("EventRecorders").field("recorders", &self.recorders).finish_non_exhaustive()
    }
}

impl EventRecorders {
    /// Creates the recorders. `instance` names this process in Events.
    #[must_use]
    pub fn new(client: &Client, instance: &str) -> Self {
        let reporter =
            Reporter { controller: "flaskblog.dev/operator".into(), instance: Some(instance.to_owned()) };
        let recorders =
            (0..RECORDERS).map(|_| EventRecorder::new(client.clone(), reporter.clone())).collect();
        let refill = Quota::with_period(REFILL).unwrap_or(Quota::per_hour(NonZeroU32::MIN));
        Self { recorders, limits: RateLimiter::keyed(refill.allow_burst(BURST)) }
    }

    /// Whether an Event passes the rate limit, as in client-go's spam filter.
    pub fn allow(&self, blog: &FlaskBlog, reason: &str) -> bool {
        if self.limits.len() > LIMITS {
            self.limits.retain_recent();
        }
        let uid = blog.metadata.uid.clone().unwrap_or_default();
        self.limits.check_key(&(uid, reason.to_owned())).is_ok()
    }

    /// The recorder of a blog, always the same one.
    pub fn of(&self, blog: &FlaskBlog) -> Option<&EventRecorder> {
        let mut hasher = DefaultHasher::new();
        blog.metadata.uid.hash(&mut hasher);
        self.recorders.get(usize::try_from(hasher.finish() % RECORDERS).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn events_of_one_blog_and_reason_have_a_limit() {
        let silent = tower::service_fn(|_: http::Request<kube::client::Body>| async {
            Err::<http::Response<kube::client::Body>, _>(io::Error::other("not asked"))
        });
        let recorders = EventRecorders::new(&Client::new(silent, "default"), "test");
        let blog = |uid: &str| -> FlaskBlog {
            let blog = json!({"apiVersion": "flaskblog.dev/v1alpha1", "kind": "FlaskBlog", "spec": {}, "metadata": {"uid": uid}});
            serde_json::from_value(blog).unwrap()
        };
        let allowed = (0..100).filter(|_| recorders.allow(&blog("a"), "Updated")).count();
        assert_eq!(allowed, 25);
        assert!(recorders.allow(&blog("a"), "Created") && recorders.allow(&blog("b"), "Updated"));
    }
}
