//! Flaskr, the blog of Flask's tutorial, on axum with MySQL or SQLite.
//!
//! A request goes one way: `server` accepts it, the layers of `app` guard it, a handler of `auth`, `blog` or `reading`
//! answers it with SQL from `store` and a template framed by `page`. SQL is nowhere else; neither is the text of an error on a page.

pub mod admin;
pub mod app;
mod assets;
mod auth;
pub mod blocking;
pub mod blog;
pub mod bodies;
mod characters;
pub mod cli;
pub mod config;
pub mod db;
mod error;
mod feed;
pub mod forms;
pub mod health;
pub mod keys;
pub mod logout;
pub mod markup;
pub mod metrics;
pub mod names;
mod origin;
pub mod page;
pub mod password;
mod patience;
pub mod proxies;
mod reading;
mod rendered;
pub mod request_body;
mod resume;
pub mod run;
pub mod serve;
pub mod server;
mod server_figures;
pub mod session;
pub mod shelf;
pub mod store;
pub mod telemetry;
pub mod throttle;
pub mod traces;
pub mod watch;
mod words;

pub use store::schema::SUPPORTED_SCHEMA;
