//! Redirects.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

/// Redirects as Flaskr does: 302, to a path of this blog.
#[must_use]
pub fn redirect(path: &'static str) -> Response {
    (StatusCode::FOUND, [(header::LOCATION, path)]).into_response()
}
