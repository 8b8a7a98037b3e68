//! `/healthz`, `/readyz` and `/metrics`.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc};

use axum::{Router, extract::State, http::StatusCode, response::IntoResponse, routing::get};
use tokio::net::TcpListener;

use parking_lot::Mutex;

use crate::context::Context;

/// What the process still waits for; ready is who waits for nothing.
#[derive(Debug)]
pub struct Waiting(Mutex<BTreeSet<&'static str>>);

impl Waiting {
    /// Waits for all of these.
    #[must_use]
    pub fn on(what: &[&'static str]) -> Self {
        Self(Mutex::new(what.iter().copied().collect()))
    }

    /// Waits for this one too.
    pub fn add(&self, what: &'static str) {
        self.0.lock().insert(what);
    }

    /// This one has come.
    pub fn done(&self, what: &'static str) {
        self.0.lock().remove(what);
    }

    fn list(&self) -> Vec<&'static str> {
        self.0.lock().iter().copied().collect()
    }
}

type Shared = (Arc<Context>, Arc<Waiting>);

/// The routes. `/healthz` answers only that the process runs: a restart fixes neither a missing CRD nor the API server. Where
/// FlaskBlogs can't be watched for minutes, the process gives its Lease back and ends by itself (see [`crate::cli::run`]).
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
/// When the address can't be listened on.
pub async fn serve(address: SocketAddr, router: Router) -> std::io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    axum::serve(listener, router).await
}
