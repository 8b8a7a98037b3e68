//! Access to the API server: clients, discovery, watch health and backoff.

pub mod api;
pub mod backoff;
pub mod clients;
pub mod discovery;
pub mod http_get;
pub mod watch_health;
