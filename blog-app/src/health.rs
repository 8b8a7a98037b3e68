//! The admin port: `/healthz` for the liveness probe, `/readyz` and `/serving` for load balancers, `/metrics`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::db::Database;
use crate::metrics::{self, Metrics};
use crate::store::schema;

const CHECK_TIMEOUT: Duration = Duration::from_secs(2);
const CHECK_LIFETIME: Duration = Duration::from_secs(1);

/// Whether requests should be sent here.
pub struct Readiness {
    database: Database,
    draining: AtomicBool,
    /// The database was once found good; what it was good for then, the schema, doesn't change by an outage.
    proven: AtomicBool,
    last: Mutex<Option<(Instant, Option<String>)>>,
}

impl Readiness {
    /// Of a blog on this database.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self {
            database,
            draining: AtomicBool::new(false),
            proven: AtomicBool::new(false),
            last: Mutex::new(None),
        }
    }

    /// From now on not ready: the process is about to end.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// What it waits for; nothing means ready.
    pub async fn reasons(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if self.draining.load(Ordering::Relaxed) {
            reasons.push("shutting down".to_owned());
        }
        reasons.extend(self.database_reason().await);
        reasons
    }

    /// Whether requests are better sent here than refused: the database was good at least once, and the process isn't
    /// about to end. All replicas share one database, so taking them all out of the load balancer when it is away would
    /// turn the page that says so into a refused connection.
    pub async fn is_serving(&self) -> bool {
        if self.draining.load(Ordering::Relaxed) {
            return false;
        }
        self.database_reason().await.is_none() || self.proven.load(Ordering::Relaxed)
    }

    /// Whether the database answers and has a schema that this program can serve.
    pub async fn database_is_good(&self) -> bool {
        self.database_reason().await.is_none()
    }

    /// Checked once a second at most, however many ask; who comes during a check waits for its answer.
    async fn database_reason(&self) -> Option<String> {
        let mut last = self.last.lock().await;
        if let Some((_, reason)) = last.as_ref().filter(|(when, _)| when.elapsed() < CHECK_LIFETIME) {
            return reason.clone();
        }
        let state = check(&self.database).await;
        match &state {
            State::Good => self.proven.store(true, Ordering::Relaxed),
            State::Away(_) => {}
            State::Wrong(_) => self.proven.store(false, Ordering::Relaxed),
        }
        let reason = match state {
            State::Good => None,
            State::Away(reason) | State::Wrong(reason) => Some(reason),
        };
        *last = Some((Instant::now(), reason.clone()));
        reason
    }
}

/// What a look at the database found.
enum State {
    Good,
    /// Waiting may help.
    Away(String),
    /// It answered, and what it said won't change by waiting: the account is refused, the schema isn't ours.
    Wrong(String),
}

async fn check(database: &Database) -> State {
    match timeout(CHECK_TIMEOUT, schema::current(database)).await {
        Err(_) => State::Away("the database did not answer within 2 s".to_owned()),
        Ok(Err(error)) if error.is_unavailable() && !error.is_refused() => State::Away(error.to_string()),
        Ok(Err(error)) => State::Wrong(error.to_string()),
        Ok(Ok(schema)) if schema.is_supported() => State::Good,
        Ok(Ok(schema)) => State::Wrong(schema.refusal()),
    }
}

#[derive(Clone)]
struct Admin {
    readiness: Arc<Readiness>,
    metrics: Metrics,
    database: Database,
}

/// The admin port as a service.
pub fn router(readiness: Arc<Readiness>, metrics: Metrics, database: Database) -> Router {
    Router::new()
        // Says nothing about the database: restarting the blog wouldn't bring that back.
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/serving", get(serving))
        .route("/metrics", get(figures))
        .with_state(Admin { readiness, metrics, database })
}

async fn readyz(extract::State(admin): extract::State<Admin>) -> Response {
    let reasons = admin.readiness.reasons().await;
    if reasons.is_empty() {
        return "ready\n".into_response();
    }
    let lines: String = reasons.iter().map(|reason| format!("{reason}\n")).collect();
    (StatusCode::SERVICE_UNAVAILABLE, lines).into_response()
}

async fn serving(extract::State(admin): extract::State<Admin>) -> Response {
    if admin.readiness.is_serving().await {
        return "serving\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, "not serving; /readyz says why\n").into_response()
}

async fn figures(extract::State(admin): extract::State<Admin>) -> Response {
    let is_up = admin.readiness.database_is_good().await;
    admin.metrics.look(&admin.database, is_up).await;
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], admin.metrics.encode(&admin.database)).into_response()
}
