//! Metrics for Prometheus, in the OpenMetrics text format.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::db::Database;
use crate::telemetry::mysql_metrics::MysqlMetrics;

/// Content type of the text.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

const LATENCY_BUCKETS: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    route: String,
    method: &'static str,
    status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RouteLabels {
    route: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct LoginLabels {
    outcome: &'static str,
}

/// The metrics. Clones share them.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    requests: Family<RequestLabels, Counter<u64, AtomicU64>>,
    latency: Family<RouteLabels, Histogram>,
    logins: Family<LoginLabels, Counter<u64, AtomicU64>>,
    /// Stale pages shown while the database was unavailable.
    pub stale_pages: Counter<u64, AtomicU64>,
    database_up: Gauge,
    connections: Gauge,
    idle_connections: Gauge,
    server: MysqlMetrics,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("blog");
        let requests = Family::default();
        let latency: Family<RouteLabels, Histogram> =
            Family::new_with_constructor(|| Histogram::new(LATENCY_BUCKETS));
        let (connections, idle_connections) = (Gauge::default(), Gauge::default());
        let (database_up, server) = (Gauge::default(), MysqlMetrics::default());
        let help =
            "1 if posts can be read and written: the schema is supported and the database accepts writes";
        registry.register("database_up", help, database_up.clone());
        registry.register_collector(Box::new(server.clone()));
        registry.register("http_requests", "Requests answered", requests.clone());
        registry.register("http_request_duration_seconds", "Time until the response", latency.clone());
        let logins = Family::default();
        registry.register(
            "logins",
            "Login attempts: ok, failed, or throttled after failures",
            logins.clone(),
        );
        let stale_pages = Counter::default();
        registry.register(
            "stale_pages",
            "Stale pages shown while the database was unavailable",
            stale_pages.clone(),
        );
        registry.register("database_connections", "Connections to the database", connections.clone());
        registry.register(
            "database_connections_idle",
            "Idle connections to the database",
            idle_connections.clone(),
        );
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "Version of the program", build);
        Self {
            registry: Arc::new(registry),
            requests,
            latency,
            logins,
            stale_pages,
            database_up,
            connections,
            idle_connections,
            server,
        }
    }
}

impl Metrics {
    /// Records a request.
    ///
    /// Route and method come from short lists, whatever clients send.
    pub fn record(&self, route: &str, method: &'static str, status: u16, latency: Duration) {
        let route = route.to_owned();
        self.latency.get_or_create(&RouteLabels { route: route.clone() }).observe(latency.as_secs_f64());
        self.requests.get_or_create(&RequestLabels { route, method, status }).inc();
    }

    /// Counts a login attempt.
    pub fn logins(&self, outcome: &'static str) {
        self.logins.get_or_create(&LoginLabels { outcome }).inc();
    }

    /// Records whether posts can be written.
    ///
    /// If posts can be read, it also records MySQL's own metrics.
    pub async fn look(&self, database: &Database, can_write: bool, can_read: bool) {
        self.database_up.set(i64::from(can_write));
        if can_read {
            self.server.refresh(database).await;
        } else {
            self.server.forget();
        }
    }

    /// Encodes the text for a scrape.
    #[must_use]
    pub fn encode(&self, database: &Database) -> String {
        let (size, idle) = database.pool_usage();
        self.connections.set(i64::from(size));
        self.idle_connections.set(i64::try_from(idle).unwrap_or(i64::MAX));
        let mut page = String::new();
        // Writing into a String can't fail.
        let _ = text::encode(&mut page, &self.registry);
        page
    }
}
