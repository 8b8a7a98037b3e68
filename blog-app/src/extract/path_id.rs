//! Ids in addresses.

use crate::error::Error;

/// An id as an address names it. Anything but digits is no address of ours.
pub fn number(id: &str) -> Result<i64, Error> {
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Error::NotFound);
    }
    id.parse().map_err(|_| Error::NotFound)
}
