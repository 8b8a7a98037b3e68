//! The one list of routes and layers.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::middleware::{from_fn, from_fn_with_state, map_response};
use axum::response::IntoResponse;
use axum::routing::get;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::timeout::TimeoutLayer;

use crate::error::Error;
use crate::html::layout::Page;
use crate::middleware::{error_pages, origin, request_log, security_headers, unread_body};
use crate::routes::{assets, auth, editor, logout, posts, resume};
use crate::state::AppState;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Builds the blog's service. The last layer runs first.
pub fn router(app: Arc<AppState>) -> Router {
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
        .layer(from_fn_with_state(Arc::clone(&app), origin::check))
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, REQUEST_TIMEOUT))
        .layer(CatchPanicLayer::custom(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response()))
        .layer(from_fn_with_state(Arc::clone(&app), error_pages::render_error_pages))
        .layer(map_response(security_headers::secure))
        .layer(from_fn(unread_body::end_unread))
        .layer(from_fn_with_state(Arc::clone(&app), request_log::observe))
        .with_state(app)
}

/// Renders the 404 page.
///
/// It extracts the `Page` so that the navigation shows the session's user here as well.
async fn not_found(_: Page) -> Error {
    Error::NotFound
}
