//! Logging out of this browser or of all.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use crate::error::Error;
use crate::extract::current_user::signed_in;
use crate::extract::member::Member;
use crate::html::layout::Page;
use crate::html::redirect::redirect;
use crate::routes::responses::html;
use crate::security::session::{self, MAX_AGE};
use crate::state::AppState;
use crate::store::sessions;

/// Interval at which sessions are recorded that ended while the database was unavailable.
const RECORD_INTERVAL: Duration = Duration::from_secs(10);

/// The routes that end sessions.
pub fn routes() -> Router<Arc<AppState>> {
    Router::new()
        .route("/auth/logout", get(show_logout).post(log_out))
        .route("/auth/logout-everywhere", post(log_out_everywhere))
}

#[derive(Template)]
#[template(path = "auth/logout.html")]
struct LogoutPage {
    page: Page,
}

/// Logs out by a link, as Flaskr does.
///
/// The user must have typed the address, or used a bookmark or a link of the blog.
///
/// Any other request gets the button, since a foreign page could have caused it.
async fn show_logout(
    State(app): State<Arc<AppState>>,
    page: Page,
    headers: HeaderMap,
) -> Result<Response, Error> {
    if page.viewer.is_none() {
        return Ok(redirect("/"));
    }
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    if matches!(site, Some(b"same-origin" | b"none")) {
        return Ok(end_session(&app, &headers).await);
    }
    html(&LogoutPage { page })
}

/// Works without the database: a logout never fails.
async fn log_out(State(app): State<Arc<AppState>>, headers: HeaderMap) -> Response {
    end_session(&app, &headers).await
}

/// Ends the session here and in the database.
///
/// A copy of its cookie is then useless at every replica.
///
/// While the database is unavailable only this process knows about it; it is recorded later.
async fn end_session(app: &AppState, headers: &HeaderMap) -> Response {
    if let Some(session) = signed_in(headers, app) {
        app.sessions.end(&session);
        record(app).await;
    }
    without_session(app, headers)
}

/// Records ended sessions that could not be recorded before, without end.
pub async fn record_regularly(app: &AppState) {
    loop {
        tokio::time::sleep(RECORD_INTERVAL).await;
        record(app).await;
    }
}

/// Records ended sessions that the database lacks.
///
/// After the first failure the others wait.
pub async fn record(app: &AppState) {
    let now = i64::try_from(session::now()).unwrap_or(i64::MAX);
    let before = now.saturating_sub(i64::try_from(MAX_AGE.as_secs()).unwrap_or(i64::MAX));
    for key in app.sessions.unrecorded() {
        if let Err(error) = sessions::end(&app.database, key, now, before).await {
            tracing::warn!(%error, "failed to end a session at the other replicas; trying again");
            return;
        }
        app.sessions.recorded(key);
    }
}

async fn log_out_everywhere(
    State(app): State<Arc<AppState>>,
    Member { user, .. }: Member,
    headers: HeaderMap,
) -> Result<Response, Error> {
    if sessions::end_all(&app.database, user.id).await.map_err(Error::Store)? {
        Ok(without_session(&app, &headers))
    } else {
        Err(Error::NotMigrated)
    }
}

fn without_session(app: &AppState, headers: &HeaderMap) -> Response {
    let cookie = session::clear_cookie(app.is_secure(headers));
    ([(header::SET_COOKIE, cookie)], redirect("/")).into_response()
}
