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
use crate::security::session::Sessions;
use crate::store::{probe, schema};
use crate::telemetry::metrics::{self, Metrics};

const CHECK_TIMEOUT: Duration = Duration::from_secs(2);
const WRITE_TIMEOUT: Duration = Duration::from_millis(800);
const NO_WRITE_IN_TIME: &str = "the database takes no writes: one that changes nothing did not end in time";
const CHECK_LIFETIME: Duration = Duration::from_secs(1);

/// Whether requests should be sent to this replica.
pub struct Readiness {
    database: Database,
    draining: AtomicBool,
    /// Whether the database was found usable once.
    ///
    /// An outage doesn't change its schema.
    proven: AtomicBool,
    last: Mutex<Option<(Instant, State)>>,
    sessions: Option<Sessions>,
}

impl Readiness {
    /// Creates it for a blog on this database.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self {
            database,
            draining: AtomicBool::new(false),
            proven: AtomicBool::new(false),
            last: Mutex::new(None),
            sessions: None,
        }
    }

    /// Reports unreadable session keys too.
    ///
    /// The replica serves with the previous keys, but its next start fails.
    #[must_use]
    pub fn with_sessions(self, sessions: Sessions) -> Self {
        Self { sessions: Some(sessions), ..self }
    }

    /// Reports not ready from now on, since the process is about to end.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// What readiness waits for, the plainest cause first; empty means ready.
    pub async fn reasons(&self) -> Vec<String> {
        self.report().await.err().unwrap_or_default()
    }

    /// The schema's version if the blog is ready, else the reasons.
    async fn report(&self) -> Result<u32, Vec<String>> {
        let state = self.look().await;
        let draining = self.draining.load(Ordering::Relaxed).then(|| "shutting down".to_owned());
        match (state, draining) {
            (State::Good { version }, None) => Ok(version),
            (state, draining) => Err(draining.into_iter().chain(state.reason().map(str::to_owned)).collect()),
        }
    }

    /// Whether requests should be sent here although the replica may not be ready.
    ///
    /// True once the database was found usable, until the process is about to end. All replicas share one database. If all
    /// left the load balancer during an outage, the error page would become a refused connection.
    pub async fn is_serving(&self) -> bool {
        if self.draining.load(Ordering::Relaxed) {
            return false;
        }
        matches!(self.look().await, State::Good { .. }) || self.proven.load(Ordering::Relaxed)
    }

    /// Whether a post can be read and written, and whether posts can be read.
    async fn can_write_and_read(&self) -> (bool, bool) {
        let state = self.look().await;
        let can_write = matches!(state, State::Good { .. });
        (can_write, can_write || matches!(state, State::TakesNoWrites(_)))
    }

    /// Checks at most once a second; concurrent callers share one check.
    async fn look(&self) -> State {
        let mut last = self.last.lock().await;
        if let Some((_, state)) = last.as_ref().filter(|(when, _)| when.elapsed() < CHECK_LIFETIME) {
            return state.clone();
        }
        let state = check(&self.database).await;
        match &state {
            State::Good { .. } | State::TakesNoWrites(_) => self.proven.store(true, Ordering::Relaxed),
            State::Away(_) => {}
            State::Wrong { .. } => self.proven.store(false, Ordering::Relaxed),
        }
        *last = Some((Instant::now(), state.clone()));
        state
    }
}

/// Result of checking the database.
#[derive(Clone, Debug)]
enum State {
    /// Posts can be read and written.
    Good { version: u32 },
    /// Posts can only be read.
    TakesNoWrites(String),
    /// It is unavailable, and waiting may help.
    Away(String),
    /// It answered, but can't be used, and waiting doesn't help.
    ///
    /// The account is refused or the schema is unknown.
    Wrong { reason: String, version: Option<u32> },
}

impl State {
    fn reason(&self) -> Option<&str> {
        match self {
            Self::Good { .. } => None,
            Self::TakesNoWrites(reason) | Self::Away(reason) | Self::Wrong { reason, .. } => Some(reason),
        }
    }

    /// The version of a schema that this program can't serve.
    fn unsupported_version(&self) -> Option<u32> {
        if let Self::Wrong { version, .. } = self { *version } else { None }
    }
}

fn away(cause: &str) -> State {
    State::Away(format!("the database is not available: {cause}"))
}

async fn check(database: &Database) -> State {
    let inspection = match timeout(CHECK_TIMEOUT, schema::inspect(database)).await {
        Err(_) => {
            let silent = || format!("it did not answer within {} s", CHECK_TIMEOUT.as_secs());
            return away(&database.absence().unwrap_or_else(silent));
        }
        Ok(Err(error)) if error.is_unavailable() && !error.is_refused() => return away(&error.cause()),
        Ok(Err(error)) => return State::Wrong { reason: error.cause(), version: None },
        Ok(Ok(inspection)) => inspection,
    };
    match inspection.problem {
        Some(reason) => State::Wrong { reason, version: Some(inspection.schema.version) },
        None => check_writes(database, inspection.schema.version).await,
    }
}

async fn check_writes(database: &Database, version: u32) -> State {
    let trial = match database.writes().trouble() {
        Some((cause, false)) => return State::TakesNoWrites(cause),
        Some((_, true)) => timeout(WRITE_TIMEOUT, probe::try_space(database, version)).await,
        None => timeout(WRITE_TIMEOUT, probe::try_write(database)).await,
    };
    let cause = match trial {
        Ok(Ok(())) => {
            database.writes().forget();
            return State::Good { version };
        }
        Ok(Err(error)) if error.is_connection_lost() => return away(&error.cause()),
        Ok(Err(error)) if !error.is_out_of_space() => return State::TakesNoWrites(error.cause()),
        Ok(Err(error)) => error.cause(),
        Err(_) => NO_WRITE_IN_TIME.to_owned(),
    };
    // A trial that hangs leaves a connection at the server for a while: at most one in ten seconds.
    database.writes().remember(cause.clone());
    State::TakesNoWrites(cause)
}

#[derive(Clone)]
struct Admin {
    readiness: Arc<Readiness>,
    metrics: Metrics,
    database: Database,
}

/// Builds the service of the admin port.
pub fn router(readiness: Arc<Readiness>, metrics: Metrics, database: Database) -> Router {
    Router::new()
        // Independent of the database: restarting the blog wouldn't bring it back.
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/serving", get(serving))
        .route("/metrics", get(figures))
        .with_state(Admin { readiness, metrics, database })
}

async fn readyz(extract::State(admin): extract::State<Admin>) -> Response {
    match admin.readiness.report().await {
        Ok(version) => {
            let problem = admin.readiness.sessions.as_ref().and_then(Sessions::key_problem);
            let warning = problem.map(|cause| format!("warning: {}\n", cause.replace('\n', " ")));
            format!("ready\nschema version {version}\n{}", warning.unwrap_or_default()).into_response()
        }
        Err(reasons) => {
            let found = admin.readiness.look().await.unsupported_version();
            let version = found.map(|version| format!("schema version {version}"));
            let lines: String = reasons.into_iter().chain(version).map(|line| line + "\n").collect();
            (StatusCode::SERVICE_UNAVAILABLE, lines).into_response()
        }
    }
}

async fn serving(extract::State(admin): extract::State<Admin>) -> Response {
    if admin.readiness.is_serving().await {
        return "serving\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, "not serving; see /readyz for the reason\n").into_response()
}

async fn figures(extract::State(admin): extract::State<Admin>) -> Response {
    let (can_write, can_read) = admin.readiness.can_write_and_read().await;
    admin.metrics.look(&admin.database, can_write, can_read).await;
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], admin.metrics.encode(&admin.database)).into_response()
}
