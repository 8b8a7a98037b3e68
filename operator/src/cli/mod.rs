//! The command line: one module a command.

pub mod check_ready;
pub mod crds;
pub mod plan;
pub mod run;
