//! The suite on a real MySQL server, and what only a server can do: go away, refuse, be migrated by two.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops and says where")]

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
