//! The suite on the embedded database, and the program itself.
#![expect(clippy::unwrap_used, reason = "a failing test panics and reports the location")]

mod backend;
mod connections;
mod docs;
mod import;
mod other_servers;
mod process;
#[path = "../program/mod.rs"]
mod program;
mod readiness;
#[path = "../suite/mod.rs"]
mod suite;
mod traces;
