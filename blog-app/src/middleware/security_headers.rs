//! Headers that restrict what browsers do with the blog's pages.

use axum::http::{HeaderName, HeaderValue, header};
use axum::response::Response;

/// The security headers.
///
/// The referrer policy must not be `no-referrer`: browsers would send `Origin: null` with the blog's own forms.
/// Browsers that send no `Sec-Fetch-Site` (over plain HTTP) could then post nothing.
const SECURITY_HEADERS: [(HeaderName, HeaderValue); 4] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; \
             base-uri 'none'; frame-ancestors 'none'",
        ),
    ),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
];

/// Sets them on every response.
pub async fn secure(mut response: Response) -> Response {
    for (name, value) in SECURITY_HEADERS {
        response.headers_mut().insert(name, value);
    }
    response
}
