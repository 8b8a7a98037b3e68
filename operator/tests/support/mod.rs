//! What the operator's integration tests share.

pub mod fake;
