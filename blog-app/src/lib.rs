//! Flaskr, the blog of Flask's tutorial, on axum with MySQL or SQLite.
//!
//! A request goes one way: `server` accepts it, the layers of `app` guard it, a handler of `auth`, `blog` or `reading`
//! answers it with SQL from `store` and a template framed by `page`. SQL is nowhere else; neither is the text of an error on a page.

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
