//! What holds on either database.
//!
//! Each test has its own database and calls the router without a socket.

mod auth;
mod blog;
mod csrf;
mod fixture;
mod guessing;
mod health;
mod last_known;
mod limits;
mod migrate;
mod pages;
mod passwords;
mod reading;
mod rendering;
mod resume;
mod sessions;
pub mod transfer;

pub use fixture::{Answer, Blog, Browser, execute, keys};
