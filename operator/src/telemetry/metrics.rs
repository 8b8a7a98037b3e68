//! Metrics on `/metrics`. Labels are static, except for series of a blog, which end with the blog.

use std::sync::atomic::AtomicI64;

use flaskblog_api::OwnedKind;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};

/// Labels of [`Metrics::reconciles`].
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Outcome {
    /// `Ok`, or the reason of the error.
    pub result: &'static str,
}

/// Labels of [`Metrics::api_writes`].
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Write {
    /// `create`, `apply`, `reset`, `own`, `delete` or `status`.
    pub verb: &'static str,
    /// Kind of the object written.
    pub kind: String,
}

impl From<(&'static str, String)> for Write {
    fn from((verb, kind): (&'static str, String)) -> Self {
        Self { verb, kind }
    }
}

impl From<(&'static str, OwnedKind)> for Write {
    fn from((verb, kind): (&'static str, OwnedKind)) -> Self {
        Self { verb, kind: kind.api_resource().kind }
    }
}

/// Labels of [`Metrics::watch_errors`].
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Watched {
    /// Kind of the objects watched.
    pub kind: String,
}

/// Labels of [`Metrics::ready`].
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Blog {
    /// Namespace of the blog.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// The operator's own metrics.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Reconciles by result.
    pub reconciles: Family<Outcome, Counter>,
    /// How long they took.
    pub duration: Histogram,
    /// Writes to the API server by verb and kind.
    pub api_writes: Family<Write, Counter>,
    /// Failures of watches by kind.
    pub watch_errors: Family<Watched, Counter>,
    /// 1 while this instance leads.
    pub leading: Gauge<i64, AtomicI64>,
    /// For each blog, 1 while its condition Ready is true.
    pub ready: Family<Blog, Gauge<i64, AtomicI64>>,
    /// For each blog, when MySQL's certificate expires, in seconds since 1970.
    pub certificate_not_after: Family<Blog, Gauge<i64, AtomicI64>>,
    /// Blogs that are backing off after an error.
    pub backing_off: Gauge<i64, AtomicI64>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("flaskblog_operator");
        let reconciles = Family::default();
        let duration = Histogram::new(exponential_buckets(0.005, 2.0, 14));
        let api_writes = Family::default();
        let watch_errors = Family::default();
        let leading = Gauge::default();
        let ready = Family::default();
        let certificate_not_after = Family::default();
        let backing_off = Gauge::default();
        registry.register("reconciles", "Reconciles by result", reconciles.clone());
        registry.register_with_unit(
            "reconcile_duration",
            "Time of a reconcile",
            Unit::Seconds,
            duration.clone(),
        );
        registry.register("api_writes", "Writes to the API server", api_writes.clone());
        registry.register("watch_errors", "Failed watches by kind", watch_errors.clone());
        registry.register("leading", "1 while this instance is the leader", leading.clone());
        registry.register("blog_ready", "1 while the blog's condition Ready is true", ready.clone());
        registry.register_with_unit(
            "blog_certificate_not_after_timestamp",
            "When the certificate of the blog's MySQL ends, since 1970",
            Unit::Seconds,
            certificate_not_after.clone(),
        );
        registry.register("backing_off", "Blogs waiting after a failed reconcile", backing_off.clone());
        Self {
            registry,
            reconciles,
            duration,
            api_writes,
            watch_errors,
            leading,
            ready,
            certificate_not_after,
            backing_off,
        }
    }
}

impl Metrics {
    /// All metrics in the OpenMetrics text format.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String can't fail, and a partial page is still usable.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
