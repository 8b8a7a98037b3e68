//! Renders the page of every error, and sets the caching headers.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;

use crate::error::Detail;
use crate::extract::current_user::{CurrentUser, signed_in};
use crate::html::layout::Page;
use crate::state::AppState;

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    page: Page,
    heading: &'a str,
    text: &'a str,
}

/// Marks a response with an error status that has its page already.
#[derive(Clone)]
struct Finished;

/// Returns a page with an error status.
#[must_use]
pub fn with_status(mut page: Response, status: StatusCode) -> Response {
    *page.status_mut() = status;
    page.extensions_mut().insert(Finished);
    page
}

/// Renders a page for every error, of a handler, the router or a layer.
///
/// It also sets the caching headers.
pub async fn render_error_pages(
    State(app): State<Arc<AppState>>,
    mut request: Request,
    next: Next,
) -> Response {
    let seen = CurrentUser::default();
    request.extensions_mut().insert(seen.clone());
    let anonymous = signed_in(request.headers(), &app).is_none();
    let mut response = next.run(request).await;
    let status = response.status();
    let finished = response.extensions().get::<Finished>().is_some();
    if !finished && (status.is_client_error() || status.is_server_error()) {
        let page = Page { viewer: seen.0.get().cloned(), ..Page::anonymous(&app.site) };
        response = error_page(page, response);
    }
    let caching = if anonymous && !response.headers().contains_key(header::SET_COOKIE) {
        "no-cache"
    } else {
        "private, no-store"
    };
    let headers = response.headers_mut();
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
        headers.insert(header::VARY, HeaderValue::from_static("Cookie"));
    }
    response
}

/// Keeps status, headers (`Allow`, `Retry-After`) and extensions of the response and replaces its body.
fn error_page(page: Page, response: Response) -> Response {
    let (mut parts, _) = response.into_parts();
    let (heading, standard) = words(parts.status);
    let detail = parts.extensions.get::<Detail>().map(|Detail(text)| text.clone());
    let text = detail.as_deref().unwrap_or(standard);
    let body = ErrorPage { page, heading, text }.render().unwrap_or_else(|_| heading.to_owned());
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    Response::from_parts(parts, body.into())
}

fn words(status: StatusCode) -> (&'static str, &'static str) {
    match status {
        StatusCode::BAD_REQUEST => ("Bad Request", "The form or address could not be read."),
        StatusCode::FORBIDDEN => ("Forbidden", "You don't have the permission to do this."),
        StatusCode::NOT_FOUND => ("Not Found", "There is nothing at this address."),
        StatusCode::METHOD_NOT_ALLOWED => ("Method Not Allowed", "This address doesn't take such a request."),
        StatusCode::REQUEST_TIMEOUT => ("Request Timeout", "The request took too long."),
        StatusCode::PAYLOAD_TOO_LARGE => ("Too Large", "This is more than the blog takes at once."),
        StatusCode::SERVICE_UNAVAILABLE => (
            "Service Unavailable",
            "The blog can't reach its database at the moment. Please try again in a few seconds.",
        ),
        status if status.is_client_error() => ("Bad Request", "The request could not be understood."),
        _ => ("Internal Server Error", "Something went wrong here. It has been noted."),
    }
}
