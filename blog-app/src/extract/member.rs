//! Extracts the logged-in user, or redirects to the login.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};

use super::current_user::signed_in;
use crate::error::Error;
use crate::html::layout::Page;
use crate::html::redirect::redirect;
use crate::state::AppState;
use crate::store::users::User;

/// The page frame of a logged-in user.
///
/// Other requests are redirected to the login.
pub struct Member {
    /// The page frame.
    pub page: Page,
    /// The user.
    pub user: User,
}

/// Why the request has no member.
pub enum NotMember {
    /// No user is logged in.
    LogIn,
    /// The session could not be checked.
    Failed(Error),
}

impl IntoResponse for NotMember {
    fn into_response(self) -> Response {
        match self {
            Self::LogIn => redirect("/auth/login"),
            Self::Failed(error) => error.into_response(),
        }
    }
}

impl FromRequestParts<Arc<AppState>> for Member {
    type Rejection = NotMember;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<AppState>) -> Result<Self, NotMember> {
        // Without a cookie no query is needed.
        if signed_in(&parts.headers, app).is_none() {
            return Err(NotMember::LogIn);
        }
        let page = Page::from_request_parts(parts, app).await.map_err(NotMember::Failed)?;
        let user = page.viewer.clone().ok_or(NotMember::LogIn)?;
        Ok(Self { page, user })
    }
}
