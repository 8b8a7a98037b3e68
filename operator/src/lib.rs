//! The operator: observe → validate → desired → apply → status. `reconcile.rs` tells the story.

pub mod cache;
pub mod cli;
pub mod context;
pub mod controller;
pub mod k8s;
pub mod model;
pub mod monitoring;
pub mod reconcile;
pub mod telemetry;
