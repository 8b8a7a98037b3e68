//! Shared helpers of the operator's integration tests.

pub mod fake;
