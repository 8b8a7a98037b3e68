//! Layers that every request and response passes.

pub(crate) mod error_pages;
pub(crate) mod origin;
pub(crate) mod request_log;
pub(crate) mod security_headers;
pub(crate) mod unread_body;
