//! Forms in request bodies, read up to a limit and in bounded memory.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use http_body_util::BodyExt;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use crate::error::Error;
use crate::html::forms::Form;
use crate::security::body_places::{LARGE_BODY, SMALL_BODY};
use crate::state::AppState;

/// Bytes that are read of a body that is too long.
///
/// Its form can then show the text again.
const OVERSIZE_BODY: usize = 4 * 1024 * 1024;
/// How long a request waits for a permit.
const PLACE_TIMEOUT: Duration = Duration::from_secs(5);

/// The form of a request that needs no login, at most [`SMALL_BODY`] bytes.
///
/// The handler parses it after checking whether the request is allowed at all. A post from another site therefore
/// results in 403, whatever the form holds.
pub struct SmallForm(Bytes);

impl SmallForm {
    /// Parses the fields.
    pub fn form(&self) -> Result<Form, Error> {
        Form::parse(&self.0).map_err(Error::Form)
    }
}

impl FromRequest<Arc<AppState>> for SmallForm {
    type Rejection = Error;

    async fn from_request(request: Request, _: &Arc<AppState>) -> Result<Self, Error> {
        let mut reading = Reading::new(request.into_body(), SMALL_BODY);
        if reading.read().await? { Ok(Self(reading.bytes.into())) } else { Err(Error::SmallBodyTooLong) }
    }
}

/// The form of a post.
pub struct LargeForm {
    /// The fields.
    pub form: Form,
    /// Whether it exceeds the limit, and was read only to be shown again.
    pub is_oversize: bool,
    _places: Vec<OwnedSemaphorePermit>,
}

impl LargeForm {
    /// Reads the body with a permit of the members' or of the anonymous share.
    pub async fn read(app: &AppState, request: Request, of_member: bool) -> Result<Self, Error> {
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

/// Whether the announced length is small; an unknown length counts as large.
pub(crate) fn is_small(headers: &HeaderMap) -> bool {
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

    /// Reads to the end or past the limit.
    ///
    /// Returns whether it reached the end.
    ///
    /// If the announced length is over the limit, nothing is read. A client that waits for `100 Continue` then sends nothing.
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
