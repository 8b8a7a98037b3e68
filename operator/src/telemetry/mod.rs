//! Metrics and Events of the operator itself.

pub mod metrics;
