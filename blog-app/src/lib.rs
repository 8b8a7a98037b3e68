//! Flaskr, the blog of Flask's tutorial, on axum with MySQL or SQLite.
//!
//! A request goes one way: `server` accepts it, the layers of `app` guard it, a handler of `auth`, `blog` or `reading`
//! answers it with SQL from `store` and a template framed by `page`. SQL is nowhere else; neither is the text of an error on a page.

pub mod admin;
pub mod app;
mod auth;
pub mod blog;
pub mod cache;
pub mod cli;
pub mod config;
pub mod db;
mod error;
mod feed;
pub mod health;
pub mod html;
pub mod logout;
mod origin;
mod patience;
mod reading;
pub mod request_body;
mod resume;
pub mod run;
pub mod security;
pub mod serve;
pub mod server;
pub mod store;
pub mod telemetry;
pub mod watch;

pub use store::schema::SUPPORTED_SCHEMA;
