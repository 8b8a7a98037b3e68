//! Records a log line, metrics and a span for each request.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;

use crate::error::Cause;
use crate::security::trusted_proxies::Peer;
use crate::state::AppState;

const REQUEST_ID: &str = "x-request-id";

/// Measures and logs each request.
///
/// It also assigns the request's id, which a proxy may have set.
pub async fn observe(State(app): State<Arc<AppState>>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let peer = request.extensions().get::<Peer>().copied();
    let client = app.proxies.resolve(peer, request.headers_mut()).map(tracing::field::display);
    let method = method_name(request.method());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let id = request_id(request.headers().get(REQUEST_ID));
    let span = app.traces.begin(method, request.headers());
    let mut response = next.run(request).await;
    let route = route.as_ref().map_or("unmatched", MatchedPath::as_str);
    let (status, latency) = (response.status().as_u16(), started.elapsed());
    app.metrics.record(route, method, status, latency);
    let latency_ms = latency.as_secs_f64() * 1000.0;
    let id_text = id.to_str().unwrap_or_default();
    span.end(method, route, status, id_text);
    match response.extensions().get::<Cause>() {
        Some(Cause(error)) if response.status().is_server_error() => {
            tracing::error!(
                method,
                route,
                status,
                latency_ms,
                client,
                request_id = id_text,
                error,
                "request"
            );
        }
        Some(Cause(reason)) => {
            tracing::info!(
                method,
                route,
                status,
                latency_ms,
                client,
                request_id = id_text,
                reason,
                "request"
            );
        }
        None => tracing::info!(method, route, status, latency_ms, client, request_id = id_text, "request"),
    }
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::PATCH => "PATCH",
        _ => "OTHER",
    }
}

/// Returns the request's id.
///
/// It is the received id, if that is short and plain enough for a log, else a new one.
fn request_id(given: Option<&HeaderValue>) -> HeaderValue {
    let sane = |id: &&HeaderValue| {
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
        (1..=64).contains(&id.len()) && id.as_bytes().iter().all(plain)
    };
    given.filter(sane).cloned().unwrap_or_else(|| {
        let id = format!("{:032x}", rand::random::<u128>());
        HeaderValue::from_str(&id).unwrap_or(HeaderValue::from_static("none"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_from_outside_is_kept_only_if_it_is_plain() {
        let kept = HeaderValue::from_static("abc-123_X.y");
        assert_eq!(request_id(Some(&kept)), kept);
        for odd in ["", "with space", "quote\"", &"x".repeat(65)] {
            let odd = HeaderValue::from_str(odd).unwrap();
            assert_ne!(request_id(Some(&odd)), odd);
        }
        assert_ne!(request_id(None), request_id(None));
    }
}
