//! Bodies of requests: read up to a limit, in bounded memory, and drained where their end isn't wanted.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::error::Error;
use crate::html::forms::Form;
use crate::state::App;

/// Larger ones need one of the few places for large bodies. Names and passwords at their longest are smaller.
pub const SMALL_BODY: usize = 16 * 1024;
/// Large enough for the longest body in its longest encoding: 65,536 characters of four bytes, each byte as `%XX`.
pub const LARGE_BODY: usize = 1024 * 1024;
/// What is too long is read up to here, if there is room, so that it comes back in its form.
const OVERSIZE_BODY: usize = 4 * 1024 * 1024;
/// How long a request waits for a place.
const PLACE_TIMEOUT: Duration = Duration::from_secs(5);
/// After the answer, so much more of a body is taken and dropped, for so long: a client that still writes would lose the
/// answer if the connection was cut.
const DRAIN_BYTES: usize = 16 * 1024 * 1024;
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// The places for bodies that are larger than [`SMALL_BODY`].
pub struct Places {
    /// For members: with [`LARGE_BODY`] they take 32 MiB at most.
    pub members: Arc<Semaphore>,
    /// For everybody else, so that strangers never take a member's.
    pub strangers: Arc<Semaphore>,
    /// For bodies of members that are too long.
    pub oversize: Arc<Semaphore>,
}

impl Default for Places {
    fn default() -> Self {
        let places = |count| Arc::new(Semaphore::new(count));
        Self { members: places(MEMBERS), strangers: places(4), oversize: places(2) }
    }
}

/// Requests of members with large bodies that are under way at once.
pub const MEMBERS: usize = 32;

/// The form of a request that anybody may send, at most [`SMALL_BODY`] long.
///
/// It is parsed by the handler, after that has found out whether the request is allowed at all: to a foreign site's post the
/// answer is 403, whatever the form holds.
pub struct SmallForm(Bytes);

impl SmallForm {
    /// The fields.
    pub fn form(&self) -> Result<Form, Error> {
        Form::parse(&self.0).map_err(Error::Form)
    }
}

impl FromRequest<Arc<App>> for SmallForm {
    type Rejection = Error;

    async fn from_request(request: Request, _: &Arc<App>) -> Result<Self, Error> {
        let mut reading = Reading::new(request.into_body(), SMALL_BODY);
        if reading.read().await? { Ok(Self(reading.bytes.into())) } else { Err(Error::SmallBodyTooLong) }
    }
}

/// The form of a post.
pub struct LargeForm {
    /// The fields.
    pub form: Form,
    /// It is longer than the blog takes, and was read only to be given back.
    pub is_oversize: bool,
    _places: Vec<OwnedSemaphorePermit>,
}

impl LargeForm {
    /// Reads it in a member's place or a stranger's.
    pub async fn read(app: &App, request: Request, of_member: bool) -> Result<Self, Error> {
        let places = if of_member { &app.places.members } else { &app.places.strangers };
        let mut held = Vec::new();
        if !is_small(request.headers()) {
            let place = timeout(PLACE_TIMEOUT, Arc::clone(places).acquire_owned()).await;
            held.push(place.ok().and_then(Result::ok).ok_or(Error::Full)?);
        }
        let mut reading = Reading::new(request.into_body(), LARGE_BODY);
        let mut is_oversize = false;
        if !reading.read().await? {
            let room = of_member.then(|| Arc::clone(&app.places.oversize).try_acquire_owned().ok()).flatten();
            held.push(room.ok_or(Error::PostTooLong)?);
            is_oversize = true;
            reading.limit = OVERSIZE_BODY;
            if !reading.read().await? {
                return Err(Error::PostTooLong);
            }
        }
        let form = Form::parse(&reading.bytes).map_err(Error::Form)?;
        Ok(Self { form, is_oversize, _places: held })
    }
}

/// Whether the body is announced as small. One of unknown length counts as large.
fn is_small(headers: &HeaderMap) -> bool {
    announced(headers).is_some_and(|length| length <= SMALL_BODY as u64)
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// A body as far as it was read.
struct Reading {
    body: Body,
    bytes: Vec<u8>,
    limit: usize,
}

impl Reading {
    fn new(body: Body, limit: usize) -> Self {
        Self { body, bytes: Vec::new(), limit }
    }

    /// Reads on, to the end or past the limit: whether it was the end. Of a body that is announced as longer nothing is
    /// read, so that a client that waits for a word before it sends anything sends nothing.
    async fn read(&mut self) -> Result<bool, Error> {
        let announced = self.bytes.len() as u64 + self.body.size_hint().lower();
        if announced > self.limit as u64 {
            return Ok(false);
        }
        while let Some(frame) = self.body.frame().await {
            let Ok(data) = frame.map_err(Error::Body)?.into_data() else { continue };
            self.bytes.extend_from_slice(&data);
            if self.bytes.len() > self.limit {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// A body that can be drained after its handler has dropped it.
struct Shared(Arc<Mutex<Body>>);

impl Shared {
    fn with<T>(&self, act: impl FnOnce(Pin<&mut Body>) -> T) -> T {
        act(Pin::new(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner)))
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

/// Ends the connection properly where an answer comes before the end of a large body: the answer announces the end, and what
/// is still on its way is dropped for a while. A client that waits for a word before it sends anything isn't encouraged.
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
