//! Logs, metrics and traces.

pub mod logging;
pub mod metrics;
pub(crate) mod mysql_metrics;
pub mod traces;
