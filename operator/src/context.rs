//! What every reconcile shares.

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
    /// Client for reads and writes; every call of it ends by itself, see [`crate::k8s::clients`].
    pub client: ClientHandle,
    /// Publish Events.
    pub recorders: EventRecorders,
    /// Counters and histograms.
    pub metrics: Metrics,
    /// Failures in a row.
    pub backoff: Backoff,
    /// Which watches fail.
    pub watch_failures: WatchFailures,
    /// What is known of the children without asking.
    pub children: MutationCache,
    /// Versions of Secrets whose certificates are good.
    pub certificates: CheckedSecrets,
    /// What replicas report of their database.
    pub replicas: ReplicaHealth,
    /// Claims that are read again.
    pub claims: ChangedClaims,
    /// Which kinds the cluster lacks.
    pub discovery: Discovery,
    /// Blogs that were found to be as their plans say.
    pub converged: ConvergedCache,
    /// Statuses that were written a moment ago.
    pub status_writes: StatusWrites,
    /// FlaskBlogs that can't be parsed.
    pub unparsable: UnparsableBlogs,
    /// Delays of blogs that aren't ready yet.
    pub pace: Pace,
    /// Objects that another manager keeps changing back.
    pub contests: Contests,
    /// What the status of each blog should be.
    pub status_guard: StatusGuard,
    /// What the command line says.
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

/// One reconcile, with all its calls, takes no longer.
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

    /// One more failure of a blog: how long it waits now. `jitter` is 0..1.
    pub fn count_failure(&self, uid: &str, jitter: f64) -> Duration {
        let delay = self.backoff.failed(uid, jitter);
        self.show_backing_off();
        delay
    }

    /// A blog that did well, or is going, waits no more.
    pub fn forget_failures(&self, uid: &str) {
        self.backoff.succeeded(uid);
        self.show_backing_off();
    }

    /// Shows whether a blog is ready.
    pub fn show_readiness(&self, id: &BlogMeta, status: Option<&FlaskBlogStatus>) {
        let ready = status.and_then(|status| find(&status.conditions, conditions::READY));
        let ready = ready.is_some_and(|ready| ready.status == "True");
        let labels = Blog { namespace: id.namespace.clone(), name: id.name.clone() };
        self.metrics.ready.get_or_create(&labels).set(i64::from(ready));
    }

    /// Shows until when the certificate of a blog's MySQL is good; nothing where it has none.
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

    /// Ends the series of a blog that is gone or going.
    pub fn forget_readiness(&self, namespace: &str, name: &str) {
        self.pace.reset(namespace, name);
        let labels = Blog { namespace: namespace.to_owned(), name: name.to_owned() };
        self.metrics.ready.remove(&labels);
        self.metrics.certificate_not_after.remove(&labels);
    }

    /// Nothing is kept of a blog that is gone.
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
