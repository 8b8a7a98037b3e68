//! Drains the rest of bodies that handlers don't read.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};
use tokio::time::timeout;

use parking_lot::Mutex;

use crate::extract::form_body::is_small;

/// Limits of draining a body after the response.
///
/// A client that is still sending would lose the response if the connection was closed.
const DRAIN_BYTES: usize = 16 * 1024 * 1024;
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// A body that can be drained after its handler has dropped it.
struct Shared(Arc<Mutex<Body>>);

impl Shared {
    fn with<T>(&self, act: impl FnOnce(Pin<&mut Body>) -> T) -> T {
        act(Pin::new(&mut self.0.lock()))
    }
}

impl HttpBody for Shared {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.with(|body| body.poll_frame(context))
    }

    fn is_end_stream(&self) -> bool {
        self.with(|body| body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.with(|body| body.size_hint())
    }
}

/// Ends a connection cleanly before the end of a large body.
///
/// The response announces the close, and what still arrives is dropped for a while. A client that waits for
/// `100 Continue` doesn't receive it.
pub async fn end_unread(request: Request, next: Next) -> Response {
    if is_small(request.headers()) || request.body().is_end_stream() {
        return next.run(request).await;
    }
    let waits = request.headers().contains_key(header::EXPECT);
    let (parts, body) = request.into_parts();
    let shared = Arc::new(Mutex::new(body));
    let request = Request::from_parts(parts, Body::new(Shared(Arc::clone(&shared))));
    let mut response = next.run(request).await;
    let rest = Shared(shared);
    if !rest.is_end_stream() {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        if !waits {
            tokio::spawn(timeout(DRAIN_TIMEOUT, drain(rest)));
        }
    }
    response
}

async fn drain(mut rest: Shared) {
    let mut dropped = 0;
    while let Some(Ok(frame)) = rest.frame().await {
        dropped += frame.data_ref().map_or(0, Bytes::len);
        if dropped > DRAIN_BYTES {
            return;
        }
    }
}
