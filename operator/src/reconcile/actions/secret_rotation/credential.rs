//! Credentials that can be rotated, with their Secrets and annotations.

use flaskblog_api::{
    Child, FlaskBlog, Rotation,
    children::{
        LAST_HANDLED_ROOT_ROTATION, LAST_HANDLED_ROTATION, ROOT_ROTATED_AT, ROTATE_PASSWORD,
        ROTATE_ROOT_PASSWORD, ROTATE_SESSION_KEYS, ROTATED_AT, ROTATION,
    },
};
use kube::{ResourceExt, api::DynamicObject};

/// A password or key that can be rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential {
    /// The password of the blog's account in its database.
    Account,
    /// The password of MySQL's administrator.
    Root,
    /// The key that signs sessions.
    SessionKey,
}

impl Credential {
    /// All credentials.
    pub const ALL: [Self; 3] = [Self::Account, Self::Root, Self::SessionKey];

    /// The Secret that holds it.
    #[must_use]
    pub fn secret(self) -> Child {
        match self {
            Self::Account | Self::Root => Child::DatabaseSecret,
            Self::SessionKey => Child::SessionSecret,
        }
    }

    /// Its name in Events.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::Account => "password of the account",
            Self::Root => "password of root",
            Self::SessionKey => "session key",
        }
    }

    /// The annotation by which a user requests a rotation.
    #[must_use]
    pub fn asked_by(self) -> &'static str {
        match self {
            Self::Account => ROTATE_PASSWORD,
            Self::Root => ROTATE_ROOT_PASSWORD,
            Self::SessionKey => ROTATE_SESSION_KEYS,
        }
    }

    /// The Secret's annotation with the last handled request.
    pub(super) fn heard_in(self) -> &'static str {
        if self == Self::Root { LAST_HANDLED_ROOT_ROTATION } else { LAST_HANDLED_ROTATION }
    }

    /// The Secret's annotation with the time of creation.
    pub(super) fn made_at(self) -> &'static str {
        if self == Self::Root { ROOT_ROTATED_AT } else { ROTATED_AT }
    }

    /// The last handled request. Secrets of older releases record only the rotation.
    pub(super) fn heard(self, secret: &DynamicObject) -> Option<&String> {
        let before = if self == Self::Root { None } else { secret.annotations().get(ROTATION) };
        secret.annotations().get(self.heard_in()).or(before)
    }

    /// Its maximum age in days.
    pub(super) fn days(self, blog: &FlaskBlog) -> Option<i32> {
        let Rotation { password_days, session_key_days } = blog.spec.rotation.clone()?;
        match self {
            Self::Account | Self::Root => password_days,
            Self::SessionKey => session_key_days,
        }
    }
}
