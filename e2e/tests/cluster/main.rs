//! On the kind cluster of `make up`, one test after another, since they kill pods of the same blog.

#![expect(clippy::unwrap_used, reason = "a failed unwrap in a test is a failed test, also in its helpers")]

mod autoscaling;
mod browser;
mod certificates;
mod charts;
mod credentials;
mod database;
mod day_two;
mod faults;
mod main_job;
mod monitoring;
mod operator;
mod person;
mod readme;
mod sample;
mod without_cluster;
