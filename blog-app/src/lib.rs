//! Flaskr, the blog of Flask's tutorial, on axum with MySQL or SQLite.
//!
//! The layers, highest first. Each imports only layers below it, which `xtask/tests/layers.rs` checks.
//!
//! - `cli`: the commands, one file each, and what they print.
//! - `server`: accepts connections, reloads secrets and shuts down in order.
//! - `router`: the one list of routes and layers.
//! - `routes`: the handlers, and the probes of the admin port.
//! - `middleware`: what every request and response passes through.
//! - `extract`: what handlers take out of requests.
//! - `state`: what the handlers share.
//! - `error`: why a request failed, as a status and a sentence for the page.
//! - `cache`: pages for readers, fresh or last known, and their encoded bytes.
//! - `security`: sessions, passwords, limits on attempts and trusted proxies.
//! - `telemetry`: logs, metrics and traces.
//! - `html`: the frame of pages, forms, Markdown and texts.
//! - `store`: the only place with SQL.
//! - `db`: pools of connections and what an error of the database means.
//! - `config`: settings, as they are typed and what they mean.

pub mod cache;
pub mod cli;
pub mod config;
pub mod db;
mod error;
pub mod extract;
pub mod html;
mod middleware;
pub mod router;
pub mod routes;
pub mod security;
pub mod server;
pub mod state;
pub mod store;
pub mod telemetry;

pub use store::schema::SUPPORTED_SCHEMA;
