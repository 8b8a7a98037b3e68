//! Traces for an OpenTelemetry collector, one span per request.
//!
//! They are off unless the standard variables configure a collector.
//!
//! A span has the method, the route, the status and the request's id, and nothing that a user wrote. Of the address it
//! has only the route's pattern. It is created here and not from log lines, so nothing else can get into it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{Span, SpanKind, Status, Tracer, TracerProvider};
use opentelemetry::{KeyValue, trace::SpanBuilder};
use opentelemetry_http::{Bytes, HeaderExtractor, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::config::Env;

const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
/// Time limit of one attempt to send.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the shutdown waits for sending the last spans.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// Bytes that are read of a collector's response.
const LONGEST_ANSWER: usize = 64 * 1024;

/// Destination of spans; none by default. Clones share it.
#[derive(Clone, Default)]
pub struct Traces(Option<Arc<Exporter>>);

struct Exporter {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

/// The span of a request in progress.
pub struct RequestSpan(Option<opentelemetry_sdk::trace::Span>);

impl Traces {
    /// Reads the standard variables.
    ///
    /// An error in them disables traces but not the blog.
    #[must_use]
    pub fn from_env(env: Env<'_>) -> Self {
        let Some(endpoint) = ENDPOINTS.into_iter().find_map(env) else { return Self::default() };
        if env("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Self::default();
        }
        if !endpoint.starts_with("http://") {
            tracing::warn!(
                "no traces: the collector's address must begin with http://, only OTLP over plain HTTP is supported"
            );
            return Self::default();
        }
        let client = Client { runtime: Handle::current(), away: AtomicBool::new(false) };
        match SpanExporter::builder().with_http().with_http_client(client).build() {
            Ok(exporter) => Self(Some(Arc::new(Exporter::new(exporter, env)))),
            Err(error) => {
                tracing::warn!(%error, "no traces: failed to read the variables OTEL_EXPORTER_OTLP_…");
                Self::default()
            }
        }
    }

    /// Begins the span of a request.
    ///
    /// It is a child of the span that the request's `traceparent` names.
    #[must_use]
    pub fn begin(&self, method: &'static str, headers: &HeaderMap) -> RequestSpan {
        let Some(exporter) = &self.0 else { return RequestSpan(None) };
        let parent = TraceContextPropagator::new().extract(&HeaderExtractor(headers));
        let begun = SpanBuilder::from_name(method)
            .with_kind(SpanKind::Server)
            .with_attributes([KeyValue::new("http.request.method", method)]);
        RequestSpan(Some(exporter.tracer.build_with_context(begun, &parent)))
    }

    /// Sends the remaining spans, within a time limit.
    pub async fn finish(self) {
        let Some(exporter) = self.0 else { return };
        let sent =
            tokio::task::spawn_blocking(move || exporter.provider.shutdown_with_timeout(LAST_WORDS).is_ok());
        if !matches!(timeout(LAST_WORDS * 2, sent).await, Ok(Ok(true))) {
            tracing::warn!("failed to send the last traces");
        }
    }
}

impl Exporter {
    fn new(exporter: SpanExporter, env: Env<'_>) -> Self {
        let resource = Resource::builder();
        let resource = match env("OTEL_SERVICE_NAME") {
            Some(_) => resource, // It has read that itself.
            None => resource.with_service_name("blog-app"),
        };
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        // The queue is bounded and has its own thread: a full queue drops spans and blocks nothing.
        let provider = SdkTracerProvider::builder()
            .with_resource(resource.with_attribute(version).build())
            .with_batch_exporter(exporter)
            .build();
        Self { tracer: provider.tracer("blog-app"), provider }
    }
}

impl RequestSpan {
    /// Ends the span with the response.
    ///
    /// If the client hangs up earlier, the span has no status.
    pub fn end(self, method: &'static str, route: &str, status: u16, id: &str) {
        let Some(mut span) = self.0 else { return };
        span.update_name(format!("{method} {route}"));
        span.set_attribute(KeyValue::new("http.route", route.to_owned()));
        span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status)));
        span.set_attribute(KeyValue::new("http.request.id", id.to_owned()));
        if status >= 500 {
            span.set_status(Status::error(""));
        }
        span.end();
    }
}

/// Sends to the collector on the runtime; the exporter's thread only waits.
#[derive(Debug)]
struct Client {
    runtime: Handle,
    away: AtomicBool,
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        // Inside the task, since a timeout can only be created on the runtime.
        let answer = self.runtime.spawn(async { timeout(SEND_TIMEOUT, send(request)).await }).await;
        let answer = answer.map_err(HttpError::from).and_then(|it| it.map_err(HttpError::from).flatten());
        let good = answer.as_ref().is_ok_and(|answer| answer.status().is_success());
        // Logged once, however long the outage lasts.
        match (good, self.away.swap(!good, Ordering::Relaxed)) {
            (false, false) => {
                let reason = match &answer {
                    Ok(answer) => answer.status().to_string(),
                    Err(error) => error.to_string(),
                };
                tracing::warn!(
                    reason,
                    "failed to send traces to the collector; they are lost until it accepts them"
                );
            }
            (true, true) => tracing::info!("the collector accepts traces again"),
            _ => {}
        }
        answer
    }
}

/// Sends one request on one connection: batches are seconds apart.
async fn send(mut request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
    let authority = request.uri().authority().cloned().ok_or("the collector's address has no host")?;
    let host = authority.host().trim_matches(['[', ']']);
    let stream = TcpStream::connect((host, authority.port_u16().unwrap_or(80))).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with the sender.
    let connection = tokio::spawn(connection);
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).parse::<Uri>()?;
    *request.uri_mut() = path;
    request.headers_mut().insert(header::HOST, HeaderValue::from_str(authority.as_str())?);
    let (parts, body) = sender.send_request(request.map(Full::new)).await?.into_parts();
    let body = Limited::new(body, LONGEST_ANSWER).collect().await?.to_bytes();
    connection.abort();
    Ok(Response::from_parts(parts, body))
}
