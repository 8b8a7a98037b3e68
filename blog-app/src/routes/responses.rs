//! Pages as responses: rendered, or with the status of a failure.

use std::time::Duration;

use askama::Template;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

use crate::error::{Cause, Error, RETRY_AFTER, chain};
use crate::middleware::error_pages::with_status;

/// Renders a template; only a bug makes that fail.
pub fn html(template: &impl Template) -> Result<Response, Error> {
    Ok(Html(template.render().map_err(Error::Render)?).into_response())
}

/// Adds a status and `Retry-After` to the response.
#[must_use]
pub fn with_retry_after(page: Response, status: StatusCode, retry_after: HeaderValue) -> Response {
    let mut page = with_status(page, status);
    page.headers_mut().insert(header::RETRY_AFTER, retry_after);
    page
}

/// A form that may be sent again after this time.
#[must_use]
pub fn too_many_requests(form: Response, wait: Duration) -> Response {
    with_retry_after(form, StatusCode::TOO_MANY_REQUESTS, HeaderValue::from(wait.as_secs() + 1))
}

/// A form with the typed text, while the database is unavailable.
#[must_use]
pub fn unavailable_with_form(form: Response, error: &Error) -> Response {
    let mut response = with_retry_after(form, StatusCode::SERVICE_UNAVAILABLE, RETRY_AFTER);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    response.extensions_mut().insert(Cause(chain(error)));
    response
}
