//! Tests against a real kube-apiserver and etcd (`dev/apiserver.sh`), with exactly the chart's permissions.
//!
//! No controllers and no nodes run. So the tests write readiness through the status subresource, and delete objects as the
//! garbage collector does.

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
