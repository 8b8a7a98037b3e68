//! What handlers take out of requests.

pub mod form_body;
