//! Caches: state that needs no request to the API server.

pub mod changed_claims;
pub mod checked_secrets;
pub mod compressed;
pub mod contests;
pub mod converged;
pub mod mutation;
pub mod pace;
pub mod replica_health;
pub mod status_guard;
pub mod status_writes;
pub mod unparsable_blogs;
pub mod wire_format;
