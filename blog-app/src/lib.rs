//! Flaskr, the blog of Flask's tutorial, on axum with MySQL or SQLite.
//!
//! A request goes one way: `server` accepts it, the layers of `app` guard it, a handler of `auth` or `blog` answers it
//! with SQL from `store` and a template framed by `page`. SQL is nowhere else; neither is the text of an error on a page.

pub mod app;
mod assets;
mod auth;
pub mod blog;
pub mod cli;
pub mod config;
mod cursor;
pub mod db;
mod error;
pub mod forms;
pub mod health;
pub mod keys;
pub mod metrics;
pub mod page;
pub mod password;
mod patience;
pub mod run;
pub mod serve;
pub mod server;
pub mod session;
pub mod store;
pub mod telemetry;
pub mod watch;

pub use store::schema::SUPPORTED_SCHEMA;
