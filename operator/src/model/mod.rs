//! Types and pure functions that every layer uses.

pub mod advice;
pub mod blog_meta;
pub mod error;
pub mod kubectl;
pub mod refusals;
pub mod semantic_eq;
pub mod settings;
