//! A program that was built without the feature `otel`: the same shape as with it, and it does nothing.

use axum::http::HeaderMap;

use crate::config::Env;

/// Nowhere for spans to go.
#[derive(Clone, Default)]
pub struct Traces;

/// No span.
pub struct RequestSpan;

impl Traces {
    /// Says so where somebody expects traces.
    #[must_use]
    pub fn from_env(env: Env<'_>) -> Self {
        if env("OTEL_EXPORTER_OTLP_ENDPOINT").is_some() {
            tracing::warn!("no traces: this blog-app was built without the feature otel");
        }
        Self
    }

    /// Nothing begins.
    #[must_use]
    pub fn begin(&self, _: &'static str, _: &HeaderMap) -> RequestSpan {
        RequestSpan
    }

    /// Nothing is left to send.
    pub async fn finish(self) {}
}

impl RequestSpan {
    /// Nothing ends.
    pub fn end(self, _: &'static str, _: &str, _: u16, _: &str) {}
}
