//! Handlers, one file per kind of page.

pub(crate) mod assets;
pub(crate) mod auth;
pub mod editor;
pub(crate) mod feed;
pub mod health;
pub mod logout;
pub(crate) mod posts;
mod responses;
pub(crate) mod resume;
