//! What all pages share: the site's name, who looks at them, and how an error looks.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use askama::Template;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};

use crate::config::Markup;
use crate::error::{Cause, Detail, Error, RETRY_AFTER, chain};
use crate::html::assets;
use crate::security::session::{self, Session};
use crate::state::App;
use crate::store::posts::Post;
use crate::store::sessions;
use crate::store::users::User;

/// The site as every page shows it.
#[derive(Clone, Debug)]
pub struct Site {
    /// Its title.
    pub title: String,
    /// The title in the bar, with the version that the deployer named.
    pub header: String,
    /// What the text of a post is.
    pub markup: Markup,
    /// Whether new users may register.
    pub registration_open: bool,
    /// The blog's own address, if the deployer named it; without a slash at its end.
    pub address: Option<String>,
    /// Address of the style sheet.
    pub style: &'static str,
    /// Address of the icon.
    pub icon: &'static str,
}

impl Site {
    /// A site of this title; the original shows the environment's `APP_VERSION` beside it.
    #[must_use]
    pub fn new(title: &str, version: Option<&str>) -> Self {
        let header =
            version.map_or_else(|| title.to_owned(), |version| format!("{title} - version {version}"));
        Self {
            title: title.to_owned(),
            header,
            markup: Markup::default(),
            registration_open: true,
            address: None,
            style: &assets::STYLE_URL,
            icon: &assets::ICON_URL,
        }
    }
}

/// The frame around a page's content.
#[derive(Clone, Debug)]
pub struct Page {
    /// The site.
    pub site: Arc<Site>,
    /// Who is logged in.
    pub viewer: Option<User>,
    /// Messages above the content.
    pub flashes: Vec<String>,
}

impl Page {
    /// For nobody in particular.
    #[must_use]
    pub fn anonymous(app: &App) -> Self {
        Self { site: Arc::clone(&app.site), viewer: None, flashes: Vec::new() }
    }

    /// The same page with a message above its content.
    #[must_use]
    pub fn flash(mut self, message: String) -> Self {
        self.flashes.push(message);
        self
    }

    /// Whether who looks wrote this.
    #[must_use]
    pub fn is_author(&self, post: &Post) -> bool {
        self.viewer.as_ref().is_some_and(|viewer| viewer.id == post.author_id)
    }
}

/// Who turned out to be logged in while a request was answered: an error page shows it too.
#[derive(Clone, Default)]
struct Seen(Arc<OnceLock<User>>);

impl FromRequestParts<Arc<App>> for Page {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Error> {
        let viewer = match signed_in(&parts.headers, app) {
            Some(session) => sessions::find_user(&app.database, session.user, session.key())
                .await
                .map_err(Error::Store)?
                .filter(|found| !found.is_ended && found.number == session.number)
                .map(|found| found.credentials)
                .filter(|found| session::proof(&found.hash) == session.proof)
                .map(|found| found.user),
            None => None,
        };
        if let (Some(Seen(seen)), Some(user)) = (parts.extensions.get(), &viewer) {
            // Set already only if a handler asked twice, and then to the same.
            let _ = seen.set(user.clone());
        }
        Ok(Self { viewer, ..Self::anonymous(app) })
    }
}

/// What the session cookie says, without a look at the database.
pub fn signed_in(headers: &HeaderMap, app: &App) -> Option<Session> {
    let now = session::now();
    session::cookies(headers, session::COOKIE).find_map(|value| app.sessions.open(value, now))
}

/// Renders a template; only a bug makes that fail.
pub fn html(template: &impl Template) -> Result<Response, Error> {
    Ok(Html(template.render().map_err(Error::Render)?).into_response())
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    page: Page,
    heading: &'a str,
    text: &'a str,
}

/// Marks an answer whose status says that something failed and whose page is there already.
#[derive(Clone)]
struct Finished;

/// Sends a page of its own with an error status.
#[must_use]
pub fn with_status(mut page: Response, status: StatusCode) -> Response {
    *page.status_mut() = status;
    page.extensions_mut().insert(Finished);
    page
}

/// The same, and when to come back.
#[must_use]
pub fn failed_with(page: Response, status: StatusCode, retry_after: HeaderValue) -> Response {
    let mut page = with_status(page, status);
    page.headers_mut().insert(header::RETRY_AFTER, retry_after);
    page
}

/// A form that is to be sent again after this time at the earliest.
#[must_use]
pub fn retry_later(form: Response, wait: Duration) -> Response {
    failed_with(form, StatusCode::TOO_MANY_REQUESTS, HeaderValue::from(wait.as_secs() + 1))
}

/// A form with what was typed, as the answer while the database is away: people need not type it again.
#[must_use]
pub fn kept(form: Response, error: &Error) -> Response {
    let mut response = failed_with(form, StatusCode::SERVICE_UNAVAILABLE, RETRY_AFTER);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    response.extensions_mut().insert(Cause(chain(error)));
    response
}

/// Gives every error a page, whoever raised it: a handler, the router or a layer. Sets the headers on caching.
pub async fn frame(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let seen = Seen::default();
    request.extensions_mut().insert(seen.clone());
    let anonymous = signed_in(request.headers(), &app).is_none();
    let mut response = next.run(request).await;
    let status = response.status();
    let finished = response.extensions().get::<Finished>().is_some();
    if !finished && (status.is_client_error() || status.is_server_error()) {
        let page = Page { viewer: seen.0.get().cloned(), ..Page::anonymous(&app) };
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
