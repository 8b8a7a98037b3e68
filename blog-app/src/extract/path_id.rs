//! Ids in addresses.

use crate::error::Error;

/// Parses an id in a path; anything but digits is not found.
pub fn number(id: &str) -> Result<i64, Error> {
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Error::NotFound);
    }
    id.parse().map_err(|_| Error::NotFound)
}
