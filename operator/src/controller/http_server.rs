//! `/healthz`, `/readyz` and `/metrics`.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc};

use axum::{Router, extract::State, http::StatusCode, response::IntoResponse, routing::get};
use tokio::net::TcpListener;

use parking_lot::Mutex;

use crate::context::Context;

/// What the process still waits for.
///
/// `/readyz` succeeds once nothing is pending.
#[derive(Debug)]
pub struct Waiting(Mutex<BTreeSet<&'static str>>);

impl Waiting {
    /// Starts with these items pending.
    #[must_use]
    pub fn on(what: &[&'static str]) -> Self {
        Self(Mutex::new(what.iter().copied().collect()))
    }

    /// Adds a pending item.
    pub fn add(&self, what: &'static str) {
        self.0.lock().insert(what);
    }

    /// Removes a pending item.
    pub fn done(&self, what: &'static str) {
        self.0.lock().remove(what);
    }

    fn list(&self) -> Vec<&'static str> {
        self.0.lock().iter().copied().collect()
    }
}

type Shared = (Arc<Context>, Arc<Waiting>);

/// The routes `/healthz`, `/readyz` and `/metrics`.
///
/// `/healthz` only reports that the process runs: a restart fixes neither a missing CRD nor the API server. If the FlaskBlog
/// watch fails for minutes, the process releases its Lease and exits (see [`crate::cli::run`]).
pub fn router(ctx: Arc<Context>, waiting: Arc<Waiting>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state((ctx, waiting))
}

async fn ready(State((ctx, waiting)): State<Shared>) -> impl IntoResponse {
    let list: Vec<String> =
        waiting.list().into_iter().map(str::to_owned).chain(ctx.watch_failures.failing()).collect();
    if list.is_empty() {
        return (StatusCode::OK, "ok\n".to_owned());
    }
    (StatusCode::SERVICE_UNAVAILABLE, list.iter().map(|what| format!("waiting for {what}\n")).collect())
}

async fn metrics(State((ctx, _)): State<Shared>) -> impl IntoResponse {
    ([("content-type", "application/openmetrics-text; version=1.0.0; charset=utf-8")], ctx.metrics.text())
}

/// Serves the routes until the process ends.
///
/// # Errors
/// When the operator can't listen on the address.
pub async fn serve(address: SocketAddr, router: Router) -> std::io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    axum::serve(listener, router).await
}
