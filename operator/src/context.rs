//! State that all reconciles of a process share.

use std::time::Duration;

use flaskblog_api::{FlaskBlogStatus, conditions};
use k8s_controller::conditions::find;
use k8s_openapi::jiff::Timestamp;
use kube::Client;

use crate::{
    cache::{
        changed_claims::ChangedClaims, checked_secrets::CheckedSecrets, contests::Contests,
        converged::ConvergedCache, mutation::MutationCache, pace::Pace, replica_health::ReplicaHealth,
        status_guard::StatusGuard, status_writes::StatusWrites, unparsable_blogs::UnparsableBlogs,
    },
    k8s::{backoff::Backoff, discovery::Discovery, watch_health::WatchFailures},
    model::{blog_meta::BlogMeta, settings::Settings},
    telemetry::{
        event_recorders::EventRecorders,
        metrics::{Blog, Metrics},
    },
};

/// Shared by all reconciles of a process.
#[derive(Debug)]
pub struct Context {
    /// Client for reads and writes. Every call has a timeout, see [`crate::k8s::clients`].
    pub client: ClientHandle,
    /// Recorders of Events.
    pub recorders: EventRecorders,
    /// Counters and histograms.
    pub metrics: Metrics,
    /// Failures in a row.
    pub backoff: Backoff,
    /// Which watches fail.
    pub watch_failures: WatchFailures,
    /// Mutation cache of the child objects.
    pub children: MutationCache,
    /// Versions of Secrets whose certificates are valid.
    pub certificates: CheckedSecrets,
    /// Database health as the replicas report it.
    pub replicas: ReplicaHealth,
    /// PVCs that the next reconcile reads again.
    pub claims: ChangedClaims,
    /// Discovery of kinds that the cluster lacks.
    pub discovery: Discovery,
    /// Blogs whose objects match their plans.
    pub converged: ConvergedCache,
    /// Statuses written recently.
    pub status_writes: StatusWrites,
    /// FlaskBlogs that can't be parsed.
    pub unparsable: UnparsableBlogs,
    /// Requeue delays of blogs that aren't ready yet.
    pub pace: Pace,
    /// Objects that another manager keeps reverting.
    pub contests: Contests,
    /// The last computed status of each blog.
    pub status_guard: StatusGuard,
    /// Settings of the command line.
    pub settings: Settings,
}

/// A [`Client`] that can be printed, as [`Context`] is `Debug`.
#[derive(Clone)]
pub struct ClientHandle(pub Client);

impl std::fmt::Debug for ClientHandle {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Client")
    }
}

/// Timeout of one reconcile with all its calls.
pub const RECONCILE_LIMIT: Duration = Duration::from_secs(60);

impl Context {
    /// Binds a client to settings. `instance` names this process in Events.
    #[must_use]
    pub fn new(client: Client, instance: &str, settings: Settings) -> Self {
        Self {
            recorders: EventRecorders::new(&client, instance),
            client: ClientHandle(client),
            metrics: Metrics::default(),
            backoff: Backoff::default(),
            watch_failures: WatchFailures::default(),
            children: MutationCache::default(),
            certificates: CheckedSecrets::default(),
            replicas: ReplicaHealth::default(),
            claims: ChangedClaims::default(),
            discovery: Discovery::default(),
            converged: ConvergedCache::default(),
            status_writes: StatusWrites::default(),
            unparsable: UnparsableBlogs::default(),
            pace: Pace::default(),
            contests: Contests::default(),
            status_guard: StatusGuard::default(),
            settings,
        }
    }

    /// Counts one more failure of a blog and returns its backoff. `jitter` is 0..1.
    pub fn count_failure(&self, uid: &str, jitter: f64) -> Duration {
        let delay = self.backoff.failed(uid, jitter);
        self.show_backing_off();
        delay
    }

    /// Resets the backoff of a blog that succeeded or is being deleted.
    pub fn forget_failures(&self, uid: &str) {
        self.backoff.succeeded(uid);
        self.show_backing_off();
    }

    /// Sets the readiness metric of a blog.
    pub fn show_readiness(&self, id: &BlogMeta, status: Option<&FlaskBlogStatus>) {
        let ready = status.and_then(|status| find(&status.conditions, conditions::READY));
        let ready = ready.is_some_and(|ready| ready.status == "True");
        let labels = Blog { namespace: id.namespace.clone(), name: id.name.clone() };
        self.metrics.ready.get_or_create(&labels).set(i64::from(ready));
    }

    /// Sets the expiry metric of MySQL's certificate, or removes it without one.
    pub fn show_certificate(&self, id: &BlogMeta, not_after: Option<Timestamp>) {
        let labels = Blog { namespace: id.namespace.clone(), name: id.name.clone() };
        match not_after {
            Some(at) => {
                self.metrics.certificate_not_after.get_or_create(&labels).set(at.as_second());
            }
            None => {
                self.metrics.certificate_not_after.remove(&labels);
            }
        }
    }

    /// Removes the series of a blog that is deleted or being deleted.
    pub fn forget_readiness(&self, namespace: &str, name: &str) {
        self.pace.reset(namespace, name);
        let labels = Blog { namespace: namespace.to_owned(), name: name.to_owned() };
        self.metrics.ready.remove(&labels);
        self.metrics.certificate_not_after.remove(&labels);
    }

    /// Evicts all state of a deleted blog.
    pub fn forget(&self, uid: &str) {
        self.replicas.forget(uid);
        self.certificates.forget(uid);
        self.forget_failures(uid);
        self.children.forget(uid);
        self.converged.forget(uid);
        self.status_writes.forget(uid);
        self.contests.forget(uid);
        self.pace.plan(uid, None);
        self.status_guard.forget(uid);
    }

    fn show_backing_off(&self) {
        self.metrics.backing_off.set(i64::try_from(self.backoff.len()).unwrap_or(i64::MAX));
    }
}
