//! The suite on the embedded database, and the program itself.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops and says where")]

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
