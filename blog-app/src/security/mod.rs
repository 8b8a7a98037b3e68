//! Sessions, passwords, limits on attempts, and trusted proxies.

pub mod body_places;
pub mod device_cookie;
pub mod name_index;
pub mod password;
pub mod rate_limit;
pub mod session;
pub mod session_keys;
pub mod trusted_proxies;
