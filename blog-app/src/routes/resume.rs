//! Keeps a text whose author's session has ended.
//!
//! It is shown first with a login form, then in the editor.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;

use crate::error::Error;
use crate::extract::form_body::LargeForm;
use crate::extract::path_id::number;
use crate::html::forms::{Draft, Form, Login};
use crate::html::layout::Page;
use crate::middleware::error_pages::with_status;
use crate::routes::auth::{Attempt, log_in_as, start_session};
use crate::routes::editor::{self, Subject};
use crate::routes::responses::{html, too_many_requests, unavailable_with_form};
use crate::security::device_cookie::DEVICE_COOKIE;
use crate::security::session;
use crate::state::AppState;

/// Address that receives the login form with the text.
const PATH: &str = "/auth/resume";
const ENDED: &str = "You are not logged in any more, so this is not saved yet. What you wrote is below: log in here to go on.";
const RESUMED: &str = "You are logged in. What you wrote is below and not saved yet: please press Save.";
const NOT_YOURS: &str = "You are logged in, but the post that this text belongs to is not yours or is gone. \
                         Save makes a new post of it.";

/// The route of that form.
pub fn routes() -> Router<Arc<AppState>> {
    Router::new().route(PATH, post(resume))
}

#[derive(Template)]
#[template(path = "auth/resume.html")]
struct ResumePage<'a> {
    page: Page,
    username: &'a str,
    post: Option<i64>,
    draft: &'a Draft,
}

/// Responds to a text without a login.
pub fn ask_to_log_in(page: Page, subject: Subject, draft: &Draft) -> Result<Response, Error> {
    let form = ResumePage { page: page.flash(ENDED.to_owned()), username: "", post: subject.id(), draft };
    let mut response = with_status(html(&form)?, StatusCode::UNAUTHORIZED);
    let headers = response.headers_mut();
    headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Cookie form-action=\"/auth/resume\""));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    Ok(response)
}

async fn resume(
    State(app): State<Arc<AppState>>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Error> {
    let LargeForm { mut form, .. } = LargeForm::read(&app, request, was_here_before(&app, &headers)).await?;
    let subject = subject(&mut form)?;
    let login = Login { username: take(&mut form, "username")?, password: take(&mut form, "password")? };
    let draft = Draft::from_form(form).map_err(Error::Form)?;
    let username = login.username.clone();
    let again = |text: String| {
        let page = Page::anonymous(&app.site).flash(text);
        html(&ResumePage { page, username: &username, post: subject.id(), draft: &draft })
    };
    match log_in_as(&app, &headers, login).await? {
        Attempt::Failed(problem) => again(problem),
        Attempt::Wait(text, wait) => Ok(too_many_requests(again(text)?, wait)),
        Attempt::Away(text, error) => Ok(unavailable_with_form(again(text)?, &error)),
        Attempt::In(found) => {
            let page = Page { viewer: Some(found.user.clone()), ..Page::anonymous(&app.site) };
            let form = match editor::own_post_of(&app, &found.user, subject).await {
                Ok(title) => editor::form(page.flash(RESUMED.to_owned()), subject, title, draft),
                Err(_) => editor::form(page.flash(NOT_YOURS.to_owned()), Subject::New, None, draft),
            };
            Ok((start_session(&app, &headers, &found).await?, form?).into_response())
        }
    }
}

fn take(form: &mut Form, field: &'static str) -> Result<String, Error> {
    form.take(field).map_err(Error::Form)
}

fn subject(form: &mut Form) -> Result<Subject, Error> {
    let id = take(form, "post")?;
    if id.is_empty() { Ok(Subject::New) } else { number(&id).map(Subject::Existing) }
}

/// Whether a valid cookie proves an earlier login in this browser.
///
/// It counts even after the session.
pub fn was_here_before(app: &AppState, headers: &HeaderMap) -> bool {
    session::cookies(headers, session::COOKIE).any(|value| app.sessions.is_ours(value))
        || session::cookies(headers, DEVICE_COOKIE).any(|value| app.sessions.open_device(value).is_some())
}
