//! Parts of pages: forms, texts, times and the frame around them.

pub(crate) mod assets;
pub mod blocking;
pub mod bodies;
pub(crate) mod characters;
pub mod forms;
pub(crate) mod humanize;
pub mod layout;
pub mod markdown;
pub mod names;
pub mod redirect;
