//! Redirects.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

/// Flaskr's redirect: 302, to a path of ours.
#[must_use]
pub fn redirect(path: &'static str) -> Response {
    (StatusCode::FOUND, [(header::LOCATION, path)]).into_response()
}
