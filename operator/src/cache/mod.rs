//! What the operator knows without another request.

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
