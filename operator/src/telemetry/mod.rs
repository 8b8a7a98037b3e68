//! Metrics and Events of the operator itself.

pub mod event_recorders;
pub mod metrics;
