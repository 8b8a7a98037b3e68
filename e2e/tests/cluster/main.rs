//! On the kind cluster of `make up`, one test after another, since they kill pods of the same blog.

#![expect(clippy::unwrap_used, reason = "a failed unwrap in a test is a failed test, also in its helpers")]

mod autoscaling;
mod browser;
mod certificates;
mod charts;
mod credentials;
mod database;
mod day_two;
mod exposure;
mod faults;
mod logging;
mod main_job;
mod manifests;
mod matrix;
mod monitoring;
mod operator;
mod original;
mod person;
mod readme;
mod reboots;
mod recommendation;
mod sample;
mod truth;
mod without_cluster;
