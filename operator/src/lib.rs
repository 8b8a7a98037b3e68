//! The operator: observe → validate → desired → diff → actions → apply → status.
//!
//! Each module imports only modules below it in this list:
//! - `cli`: commands and the process.
//! - `controller`: watches and the work queue.
//! - `reconcile`: one reconcile, step by step.
//! - `context`: what all reconciles share.
//! - `cache`: state of earlier reconciles and watch events.
//! - `monitoring`: alerts and dashboards.
//! - `k8s`: clients, discovery, watch health, backoff.
//! - `telemetry`: metrics and recorders of Events.
//! - `model`: types and pure functions.

pub mod cache;
pub mod cli;
pub mod context;
pub mod controller;
pub mod k8s;
pub mod model;
pub mod monitoring;
pub mod reconcile;
pub mod telemetry;
