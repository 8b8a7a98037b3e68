//! Why a request failed, as a status and an error page.
//!
//! The page holds a sentence for the user. The cause goes only to the request's log line.

use std::sync::Arc;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use thiserror::Error;

use crate::html::blocking;
use crate::html::forms::{self, BODY_LIMIT};
use crate::security::body_places::{LARGE_BODY, SMALL_BODY};
use crate::security::password;
use crate::store::{self, page_cursor};

/// Seconds after which a client may retry while the database is unavailable.
pub const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

/// Why a request failed.
#[derive(Debug, Error)]
pub enum Error {
    /// The post doesn't exist.
    #[error("post {0} doesn't exist")]
    NoSuchPost(i64),
    /// The page doesn't exist.
    #[error("page doesn't exist")]
    NotFound,
    /// Registration is closed.
    #[error("registration is closed")]
    RegistrationClosed,
    /// The post belongs to another author.
    #[error("only the author may do this")]
    Forbidden,
    /// The body isn't a form of this blog.
    #[error("failed to read the form")]
    Form(#[source] forms::Error),
    /// The body didn't arrive completely.
    #[error("failed to read the body")]
    Body(#[source] axum::Error),
    /// A login or registration exceeds the limit of small bodies.
    #[error("the form is longer than {SMALL_BODY} bytes")]
    SmallBodyTooLong,
    /// A post exceeds the limit of large bodies.
    #[error("the form is longer than {LARGE_BODY} bytes")]
    PostTooLong,
    /// All permits for large bodies are taken.
    #[error("too many large requests are under way")]
    Full,
    /// The address of a page of older posts is invalid.
    #[error(transparent)]
    Cursor(page_cursor::InvalidCursor),
    /// A query failed.
    #[error(transparent)]
    Store(store::Error),
    /// A query failed that several requests shared.
    #[error("{0}")]
    Shared(Arc<store::Error>),
    /// Hashing a password failed.
    #[error(transparent)]
    Password(password::Error),
    /// The feature needs a newer schema.
    #[error("the database's schema is too old for this; run `blog-app migrate`")]
    NotMigrated,
    /// Work on a blocking thread failed.
    #[error(transparent)]
    Blocking(#[from] blocking::Error),
    /// Rendering a template failed.
    #[error("failed to render a page")]
    Render(#[source] askama::Error),
}

/// A sentence for the error page instead of the status's default text.
#[derive(Clone)]
pub struct Detail(pub String);

/// The cause, for the log line.
#[derive(Clone)]
pub struct Cause(pub String);

impl Error {
    fn status(&self) -> StatusCode {
        match self {
            Self::NoSuchPost(_) | Self::NotFound => StatusCode::NOT_FOUND,
            Self::Forbidden | Self::RegistrationClosed => StatusCode::FORBIDDEN,
            Self::Form(_) | Self::Cursor(_) => StatusCode::BAD_REQUEST,
            Self::SmallBodyTooLong | Self::PostTooLong => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Body(_) => StatusCode::BAD_REQUEST,
            unavailable if unavailable.is_unavailable() => StatusCode::SERVICE_UNAVAILABLE,
            Self::Full
            | Self::NotMigrated
            | Self::Blocking(blocking::Error::Busy)
            | Self::Password(password::Error::Busy) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Store(_) | Self::Shared(_) | Self::Password(_) | Self::Blocking(_) | Self::Render(_) => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        }
    }

    /// Whether the cause is an unavailable database.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::Store(error) => error.is_unavailable(),
            Self::Shared(error) => error.is_unavailable(),
            _ => false,
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            Self::NoSuchPost(id) => Some(format!("Post id {id} doesn't exist.")),
            Self::Blocking(blocking::Error::Busy) | Self::Password(password::Error::Busy) => Some(
                "Too many people are doing this at the moment. Please try again in a few seconds.".to_owned(),
            ),
            Self::Full => Some(
                "Too many people are sending long texts at the moment. Yours was not read: please go back in your browser, \
                 where it is still in the form, and press Save again in a few seconds."
                    .to_owned(),
            ),
            Self::SmallBodyTooLong => {
                Some(format!("This form takes at most {SMALL_BODY} bytes, and this was more."))
            }
            Self::PostTooLong => Some(format!(
                "This is more than the blog takes at once: a post may have at most {BODY_LIMIT} characters. Your text is \
                 still in the form: please go back in your browser and shorten it."
            )),
            Self::NotMigrated => {
                Some("This needs a newer database. The blog's owner can update it with `blog-app migrate`.".to_owned())
            }
            Self::RegistrationClosed => Some("This blog takes no new users.".to_owned()),
            _ => None,
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let status = self.status();
        let mut response = status.into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        if let Some(detail) = self.detail() {
            response.extensions_mut().insert(Detail(detail));
        }
        response.extensions_mut().insert(Cause(chain(&self)));
        response
    }
}

/// Formats an error and its causes in one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
