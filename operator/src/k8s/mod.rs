//! How the API server is reached: clients, discovery, watches and delays.

pub mod api;
pub mod backoff;
pub mod clients;
pub mod discovery;
pub mod http_get;
pub mod watch_health;
