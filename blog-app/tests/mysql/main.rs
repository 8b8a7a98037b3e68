//! The suite on a real MySQL server, and the cases that need one: outages, refusals, concurrent migrations.
#![expect(clippy::unwrap_used, reason = "a failing test panics and reports the location")]

mod away;
mod backend;
mod docs;
#[path = "../program/mod.rs"]
mod program;
mod proxy;
mod readiness;
mod rotation;
mod server;
#[path = "../suite/mod.rs"]
mod suite;
mod tls;
