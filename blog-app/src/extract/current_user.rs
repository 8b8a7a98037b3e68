//! The user of the request's session.

use std::sync::{Arc, OnceLock};

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;

use crate::error::Error;
use crate::html::layout::Page;
use crate::security::session::{self, Session};
use crate::state::AppState;
use crate::store::sessions;
use crate::store::users::User;

/// The user that was found while handling the request.
///
/// An error page shows it too.
#[derive(Clone, Default)]
pub(crate) struct CurrentUser(pub(crate) Arc<OnceLock<User>>);

impl FromRequestParts<Arc<AppState>> for Page {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<AppState>) -> Result<Self, Error> {
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
        if let (Some(CurrentUser(seen)), Some(user)) = (parts.extensions.get(), &viewer) {
            // It is set already only if a handler extracted it twice, with the same value.
            let _ = seen.set(user.clone());
        }
        Ok(Self { viewer, ..Self::anonymous(&app.site) })
    }
}

/// Verifies the session cookie without querying the database.
pub fn signed_in(headers: &HeaderMap, app: &AppState) -> Option<Session> {
    let now = session::now();
    session::cookies(headers, session::COOKIE).find_map(|value| app.sessions.open(value, now))
}
