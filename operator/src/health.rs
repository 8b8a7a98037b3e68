//! `/healthz`, `/readyz` and `/metrics`.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context as _;
use axum::{Router, extract::State, http::StatusCode, response::IntoResponse, routing::get};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

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
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(what);
    }

    /// This one has come.
    pub fn done(&self, what: &'static str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(what);
    }

    fn list(&self) -> Vec<&'static str> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }
}

type Shared = (Arc<Context>, Arc<Waiting>);

/// The routes. `/healthz` says only that the process runs: a restart mends neither a missing CRD nor the API server.
pub fn router(ctx: Arc<Context>, waiting: Arc<Waiting>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state((ctx, waiting))
}

async fn ready(State((ctx, waiting)): State<Shared>) -> impl IntoResponse {
    let list: Vec<String> =
        waiting.list().into_iter().map(str::to_owned).chain(ctx.watches.failing()).collect();
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

/// Longest wait for an answer of [`check_ready`].
const CHECK_TIMEOUT: Duration = Duration::from_secs(10);
/// Most that is read of it, in bytes.
const CHECK_LIMIT: u64 = 64 * 1024;

/// Asks `/readyz` of a running operator. One plain HTTP/1.0 request (RFC 1945) needs no client library.
///
/// # Errors
/// When nothing answers at the address in time, or the answer isn't 200; the message holds the answer's text.
pub async fn check_ready(address: &str) -> anyhow::Result<()> {
    let answer = tokio::time::timeout(CHECK_TIMEOUT, get_readyz(address))
        .await
        .with_context(|| format!("no answer from {address} within {} s", CHECK_TIMEOUT.as_secs()))?
        .with_context(|| format!("failed to ask {address}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let ready = head.split_whitespace().nth(1) == Some("200");
    anyhow::ensure!(ready, "{address} isn't ready: {}", body.trim());
    println!("{address} is ready");
    Ok(())
}

async fn get_readyz(address: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET /readyz HTTP/1.0\r\n\r\n").await?;
    let mut answer = Vec::new();
    stream.take(CHECK_LIMIT).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
