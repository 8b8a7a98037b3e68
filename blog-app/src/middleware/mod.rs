//! What every request and response passes through.

pub(crate) mod origin;
