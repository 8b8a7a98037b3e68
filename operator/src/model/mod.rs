//! Types and pure functions that every layer uses.

pub mod advice;
pub mod blog_meta;
pub mod change;
pub mod containers;
pub mod error;
pub mod hash;
pub mod kubectl;
pub mod managed_fields;
pub mod objects;
pub mod observed;
pub mod plan;
pub mod pod;
pub mod refusals;
pub mod semantic_eq;
pub mod settings;
