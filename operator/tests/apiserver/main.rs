//! Against a real kube-apiserver and etcd (`dev/apiserver.sh`), with exactly the rights that the chart gives.
//!
//! No controllers and no nodes run, so readiness is written through the status subresource, and what the garbage
//! collector would do is done by the test.

#![expect(clippy::unwrap_used, reason = "a failed unwrap in a test is a failed test, also in its helpers")]

mod advice;
mod advice_requests;
mod advice_workloads;
mod certificates;
#[path = "../support/commands.rs"]
mod commands;
mod database;
mod drift;
mod features;
mod follow;
mod house;
mod leader;
mod lifecycle;
mod preview;
mod refused_later;
mod right;
mod rights;
mod rotation;
mod schema;
mod sequences;
mod shared_volume;
