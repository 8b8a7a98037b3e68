//! The cookie of a device that a user has used before.
//!
//! It is OWASP's device cookie.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::session::{Sessions, attributes};

/// Name of the cookie that a browser keeps after its user has logged out.
pub const DEVICE_COOKIE: &str = "device";
/// Lifetime of the cookie: the longest that browsers keep cookies.
const DEVICE_MAX_AGE: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// A browser in which a user has logged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceCookie {
    /// A random number.
    pub browser: u64,
    /// The user.
    pub user: i64,
}

impl Sessions {
    /// Signs the value of the cookie.
    #[must_use]
    pub fn seal_device(&self, browser: &DeviceCookie) -> String {
        self.sign("device ", browser)
    }

    /// Verifies a cookie's value; `None` if none of the keys signed it.
    #[must_use]
    pub fn open_device(&self, value: &str) -> Option<DeviceCookie> {
        self.verified("device ", value)
    }
}

/// The `Set-Cookie` header. Only the pages below `/auth` need the cookie.
#[must_use]
pub fn set_device_cookie(value: &str, secure: bool) -> String {
    let attributes = attributes(secure).replacen("Path=/", "Path=/auth", 1);
    format!("{DEVICE_COOKIE}={value}; Max-Age={}; {attributes}", DEVICE_MAX_AGE.as_secs())
}
