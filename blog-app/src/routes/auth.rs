//! Registration, login and logout: `/auth/…`.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use axum::routing::get;

use crate::error::Error;
use crate::extract::form_body::SmallForm;
use crate::extract::member::Member;
use crate::html::forms::{self, Login};
use crate::html::humanize;
use crate::html::layout::Page;
use crate::html::names;
use crate::html::redirect::redirect;
use crate::routes::responses::{html, too_many_requests, unavailable_with_form};
use crate::security::device_cookie::{DEVICE_COOKIE, DeviceCookie, set_device_cookie};
use crate::security::password::Verdict;
use crate::security::rate_limit::LoginSubject;
use crate::security::session::{self, Session};
use crate::state::AppState;
use crate::store::users::{self, Credentials};
use crate::store::{self, sessions};

/// The routes below `/auth`.
pub fn routes() -> Router<Arc<AppState>> {
    Router::new()
        .route("/auth/register", get(show_registration).post(register))
        .route("/auth/login", get(show_login).post(log_in))
        .route("/auth/password", get(show_password).post(change_password))
}

#[derive(Template)]
#[template(path = "auth/register.html")]
struct RegisterPage<'a> {
    page: Page,
    username: &'a str,
}

#[derive(Template)]
#[template(path = "auth/login.html")]
struct LoginPage<'a> {
    page: Page,
    username: &'a str,
}

#[derive(Template)]
#[template(path = "auth/password.html")]
struct PasswordPage {
    page: Page,
}

/// Message above a form that keeps the name.
///
/// The password is never rendered into a page.
const AWAY: &str = "The blog can't reach its database at the moment. The name is still here: \
                    please type the password and try again in a few seconds.";

/// Returns an anonymous page if the session can't be checked.
///
/// The database is then unavailable.
///
/// The form must come back filled in that case too.
fn page_or_anonymous(app: &AppState, page: Result<Page, Error>) -> Result<Page, Error> {
    match page {
        Err(error) if error.is_unavailable() => Ok(Page::anonymous(&app.site)),
        other => other,
    }
}

async fn show_registration(page: Page) -> Result<Response, Error> {
    if !page.site.registration_open {
        return Err(Error::RegistrationClosed);
    }
    html(&RegisterPage { page, username: "" })
}

async fn register(
    State(app): State<Arc<AppState>>,
    page: Result<Page, Error>,
    body: SmallForm,
) -> Result<Response, Error> {
    let page = page_or_anonymous(&app, page)?;
    if !page.site.registration_open {
        return Err(Error::RegistrationClosed);
    }
    let login = Login::from_form(body.form()?).map_err(Error::Form)?.for_registration();
    let problem = match problem_of(&app, &login).await {
        Err(error) if error.is_unavailable() => {
            let page = page.flash(AWAY.to_owned());
            return Ok(unavailable_with_form(
                html(&RegisterPage { page, username: &login.username })?,
                &error,
            ));
        }
        Err(error) => return Err(error),
        Ok(Some(problem)) => problem,
        Ok(None) => {
            if let Err(wait) = app.registration_limiter.begin() {
                let text = "Too many people are registering at the moment. Please try again in a while.";
                let page = RegisterPage { page: page.flash(text.to_owned()), username: &login.username };
                return Ok(too_many_requests(html(&page)?, wait));
            }
            let hash = app.passwords.hash(login.password).await.map_err(Error::Password)?;
            let inserted = users::insert(&app.database, &login.username, &hash).await;
            match inserted.map_err(Error::Store) {
                Ok(()) => return Ok(redirect("/auth/login")),
                Err(Error::Store(store::Error::NameTaken { .. })) => {
                    format!("User {} is already registered.", login.username)
                }
                Err(Error::Store(store::Error::DoesNotFit { field, too_long, .. })) => {
                    forms::column_error_message(field, too_long)
                }
                Err(error) if error.is_unavailable() => {
                    let page = page.flash(AWAY.to_owned());
                    return Ok(unavailable_with_form(
                        html(&RegisterPage { page, username: &login.username })?,
                        &error,
                    ));
                }
                Err(error) => return Err(error),
            }
        }
    };
    html(&RegisterPage { page: page.flash(problem), username: &login.username })
}

/// Why this name and password can't be registered.
async fn problem_of(app: &AppState, login: &Login) -> Result<Option<String>, Error> {
    if let Some(problem) = login.registration_problem() {
        return Ok(Some(problem));
    }
    let similar = app.names.similar(&app.database, &login.username).await.map_err(Error::Store)?;
    // The database itself detects an equal name, without a race.
    let similar = similar.filter(|similar| *similar != login.username);
    Ok(similar.map(|_| forms::SIMILAR_NAME.to_owned()))
}

/// Finds the user by the typed name, else by its normalized form.
async fn find_by_name(app: &AppState, name: &str) -> Result<Option<Credentials>, Error> {
    let found = users::find_by_name(&app.database, name).await.map_err(Error::Store)?;
    let plain = names::normalized(name);
    if found.is_some() || plain == name {
        return Ok(found);
    }
    users::find_by_name(&app.database, &plain).await.map_err(Error::Store)
}

async fn show_login(page: Page) -> Result<Response, Error> {
    html(&LoginPage { page, username: "" })
}

async fn log_in(
    State(app): State<Arc<AppState>>,
    page: Result<Page, Error>,
    headers: HeaderMap,
    body: SmallForm,
) -> Result<Response, Error> {
    let page = page_or_anonymous(&app, page)?;
    let login = Login::from_form(body.form()?).map_err(Error::Form)?;
    let username = login.username.clone();
    let again = |text| html(&LoginPage { page: page.flash(text), username: &username });
    match log_in_as(&app, &headers, login).await? {
        Attempt::In(user) => Ok((start_session(&app, &headers, &user).await?, redirect("/")).into_response()),
        Attempt::Failed(problem) => again(problem),
        Attempt::Wait(text, wait) => Ok(too_many_requests(again(text)?, wait)),
        Attempt::Away(text, error) => Ok(unavailable_with_form(again(text)?, &error)),
    }
}

/// Result of a login attempt.
///
/// Each failure has a message for the form.
pub enum Attempt {
    /// Name and password are correct.
    In(Credentials),
    /// Name or password is wrong.
    Failed(String),
    /// Too many attempts failed before.
    Wait(String, Duration),
    /// The database is unavailable.
    Away(String, Error),
}

/// Checks name and password.
pub async fn log_in_as(app: &AppState, headers: &HeaderMap, login: Login) -> Result<Attempt, Error> {
    let Login { username, password } = login;
    let found_user = match find_by_name(app, &username).await {
        Ok(found) => found,
        Err(error) if error.is_unavailable() => return Ok(Attempt::Away(AWAY.to_owned(), error)),
        Err(error) => return Err(error),
    };
    let tries = tries(app, headers, &username, found_user.as_ref());
    if let Err(wait) = app.login_limiter.begin(tries) {
        app.metrics.logins("throttled");
        let text = format!("Too many failed logins. Please try again in {}.", humanize::span(wait));
        return Ok(Attempt::Wait(text, wait));
    }
    let hash = found_user.as_ref().map(|credentials| credentials.hash.clone());
    // Without a user a hash is computed too: the messages reveal which users exist, as Flaskr's do, but the time doesn't.
    let verdict = app.passwords.verify(password.clone(), hash).await.map_err(Error::Password)?;
    let problem = match (found_user, verdict) {
        (None, _) => "Incorrect username.",
        (Some(_), Verdict::Wrong) => "Incorrect password.",
        (Some(user), verdict) => {
            app.login_limiter.forget(tries);
            app.metrics.logins("ok");
            let outdated = verdict == Verdict::RightButOutdated;
            return Ok(Attempt::In(if outdated { with_new_hash(app, user, password).await } else { user }));
        }
    };
    app.metrics.logins("failed");
    Ok(Attempt::Failed(problem.to_owned()))
}

/// The subject that this attempt counts for.
fn tries<'a>(
    app: &AppState,
    headers: &HeaderMap,
    name: &'a str,
    user: Option<&Credentials>,
) -> LoginSubject<'a> {
    let known = user.and_then(|found| device_cookie(app, headers, found.user.id));
    known.map_or(LoginSubject::Account(name), |known| LoginSubject::Device(known.browser, known.user))
}

fn device_cookie(app: &AppState, headers: &HeaderMap, user: i64) -> Option<DeviceCookie> {
    let mut values = session::cookies(headers, DEVICE_COOKIE);
    values.find_map(|value| app.sessions.open_device(value).filter(|known| known.user == user))
}

/// Replaces an outdated hash, which only a login can do.
///
/// If that fails, the old hash stays valid.
async fn with_new_hash(app: &AppState, of: Credentials, password: String) -> Credentials {
    let Ok(hash) = app.passwords.hash(password).await else { return of };
    match users::replace_hash(&app.database, of.user.id, &of.hash, &hash).await {
        Ok(true) => Credentials { hash, ..of },
        // Another login was faster: the session must be tied to the current hash.
        Ok(false) => users::find(&app.database, of.user.id).await.ok().flatten().unwrap_or(of),
        Err(error) => {
            tracing::warn!(%error, "failed to renew a password's hash");
            of
        }
    }
}

/// Sets the cookies of a new session.
pub async fn start_session(
    app: &AppState,
    headers: &HeaderMap,
    of: &Credentials,
) -> Result<AppendHeaders<Vec<(HeaderName, String)>>, Error> {
    let number = sessions::number_of(&app.database, of.user.id).await.map_err(Error::Store)?;
    let (user, issued, proof) = (of.user.id, session::now(), session::proof(&of.hash));
    let value = app.sessions.seal(&Session { user, issued, proof, id: rand::random(), number });
    let secure = app.is_secure(headers);
    let mut cookies = AppendHeaders(vec![(header::SET_COOKIE, session::set_cookie(&value, secure))]);
    if device_cookie(app, headers, of.user.id).is_none() {
        let known = DeviceCookie { browser: rand::random(), user: of.user.id };
        let known = set_device_cookie(&app.sessions.seal_device(&known), secure);
        cookies.0.push((header::SET_COOKIE, known));
    }
    Ok(cookies)
}

async fn show_password(Member { page, .. }: Member) -> Result<Response, Error> {
    html(&PasswordPage { page })
}

/// Changes the password.
///
/// Every session is tied to its hash, so all others end.
async fn change_password(
    State(app): State<Arc<AppState>>,
    Member { page, user }: Member,
    headers: HeaderMap,
    body: SmallForm,
) -> Result<Response, Error> {
    let mut form = body.form()?;
    let mut field = |name| form.take(name).map_err(Error::Form);
    let (current, new) = (field("current")?, field("new")?);
    let Some(known) = users::find(&app.database, user.id).await.map_err(Error::Store)? else {
        return Err(Error::Forbidden);
    };
    // A session on a lent computer, for example, could be used to guess the password here.
    let tries = LoginSubject::Device(session::proof(&known.hash), user.id);
    if let Err(wait) = app.login_limiter.begin(tries) {
        app.metrics.logins("throttled");
        let text = format!("Too many wrong passwords. Please try again in {}.", humanize::span(wait));
        return Ok(too_many_requests(html(&PasswordPage { page: page.flash(text) })?, wait));
    }
    let verdict = app.passwords.verify(current, Some(known.hash.clone())).await.map_err(Error::Password)?;
    if verdict != Verdict::Wrong {
        app.login_limiter.forget(tries);
    }
    let problem = if verdict == Verdict::Wrong {
        Some("Incorrect password.".to_owned())
    } else {
        forms::password_problem(&new)
    };
    if let Some(problem) = problem {
        return html(&PasswordPage { page: page.flash(problem) });
    }
    let hash = app.passwords.hash(new).await.map_err(Error::Password)?;
    let replaced = users::replace_hash(&app.database, user.id, &known.hash, &hash).await;
    if !replaced.map_err(Error::Store)? {
        let problem = "The password was changed elsewhere at the same time. Please log in again.";
        return html(&PasswordPage { page: page.flash(problem.to_owned()) });
    }
    let session = start_session(&app, &headers, &Credentials { hash, ..known }).await?;
    Ok((session, redirect("/")).into_response())
}
