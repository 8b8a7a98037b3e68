//! The application: its state, and the one list of routes and layers.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::timeout::TimeoutLayer;

use crate::cache::page_cache::Shelf;
use crate::db::Database;
use crate::error::Error;
use crate::extract::form_body::{self, Places};
use crate::html::assets;
use crate::html::blocking::BlockingPool;
use crate::html::bodies::MarkdownCache;
use crate::html::layout::{self, Page, Site};
use crate::html::names::NameIndex;
use crate::middleware::origin;
use crate::routes::{auth, editor, logout, posts, resume};
use crate::security::password::Passwords;
use crate::security::rate_limit::{Guesses, Registrations};
use crate::security::session::Sessions;
use crate::security::trusted_proxies::{Proxies, is_plain, is_secure};
use crate::telemetry::logging;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::Traces;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// What the handlers share.
pub struct App {
    /// The data.
    pub database: Database,
    /// The signed cookies.
    pub sessions: Sessions,
    /// The password hashes.
    pub passwords: Passwords,
    /// The site's name.
    pub site: Arc<Site>,
    /// The pages that are kept for readers.
    pub shelf: Shelf,
    /// The texts of posts as HTML.
    pub markdown: MarkdownCache,
    /// Threads for work that takes long.
    pub pool: BlockingPool,
    /// The counters.
    pub metrics: Metrics,
    /// The spans of requests.
    pub traces: Traces,
    /// Room for large bodies.
    pub places: Places,
    /// Counts tries to log in.
    pub guesses: Guesses,
    /// Bounds registrations.
    pub registrations: Registrations,
    /// The names that are taken.
    pub names: NameIndex,
    /// Who may say who the client is.
    pub proxies: Proxies,
}

impl App {
    /// The blog's address as the deployer named it, else as the client did.
    #[must_use]
    pub fn address(&self, headers: &HeaderMap) -> String {
        if let Some(address) = &self.site.address {
            return address.clone();
        }
        let host = headers.get(header::HOST).and_then(|value| value.to_str().ok());
        let host = host.and_then(|host| host.parse::<Authority>().ok());
        let scheme = if is_secure(headers) { "https" } else { "http" };
        host.map_or_else(|| "http://localhost".to_owned(), |host| format!("{scheme}://{host}"))
    }

    /// Whether cookies are for connections with TLS only: a proxy that is trusted says so; or the client asked for the host of
    /// the blog's own https address, and no proxy says that it did so without TLS.
    #[must_use]
    pub fn is_secure(&self, headers: &HeaderMap) -> bool {
        let own = self.site.address.as_deref().and_then(|address| address.strip_prefix("https://"));
        let own = own.and_then(|rest| rest.split('/').next());
        let asked = headers.get(header::HOST).map(HeaderValue::as_bytes);
        let at_home =
            own.is_some_and(|own| asked.is_some_and(|host| host.eq_ignore_ascii_case(own.as_bytes())));
        is_secure(headers) || (at_home && !is_plain(headers))
    }
}

/// The blog as a service. Layers run from the last to the first.
pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .merge(auth::routes())
        .merge(logout::routes())
        .merge(editor::routes())
        .merge(resume::routes())
        .merge(posts::routes())
        .route("/hello", get(|| async { "Hello, World!" }))
        .route("/static/{name}", get(assets::asset))
        .fallback(not_found)
        .method_not_allowed_fallback(|| async { StatusCode::METHOD_NOT_ALLOWED })
        .layer(origin::csrf_layer(app.site.address.as_deref()))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), origin::check))
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, REQUEST_TIMEOUT))
        .layer(CatchPanicLayer::custom(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response()))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), layout::frame))
        .layer(middleware::map_response(secure))
        .layer(middleware::from_fn(form_body::end_unread))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), logging::observe))
        .with_state(app)
}

/// Flaskr's redirect: 302, to a path of ours.
#[must_use]
pub fn found(path: &'static str) -> Response {
    (StatusCode::FOUND, [(header::LOCATION, path)]).into_response()
}

/// Takes the page's frame, so that who is logged in stays so on the page that doesn't exist.
async fn not_found(_: Page) -> Error {
    Error::NotFound
}

/// The referrer policy must not be `no-referrer`: browsers would send `Origin: null` with our own forms, and those
/// that send no `Sec-Fetch-Site` (over plain HTTP) could post nothing.
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

async fn secure(mut response: Response) -> Response {
    for (name, value) in SECURITY_HEADERS {
        response.headers_mut().insert(name, value);
    }
    response
}
