//! The command line: one module per command.

pub mod check_ready;
pub mod crds;
pub mod plan;
pub mod run;
