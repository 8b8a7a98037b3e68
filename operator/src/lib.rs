//! The operator: observe → validate → desired → apply → status. `reconcile.rs` tells the story.

pub mod apply;
pub mod backoff;
pub mod claim;
pub mod clients;
pub mod compare;
pub mod config;
pub mod context;
pub mod controller;
pub mod crds;
pub mod desired;
pub mod error;
pub mod events;
pub mod health;
pub mod identity;
pub mod metrics;
pub mod observe;
pub mod pending;
pub mod reconcile;
pub mod rotation;
pub mod run;
pub mod seen;
pub mod status;
pub mod storage;
pub mod stuck;
pub mod validate;
pub mod watches;
