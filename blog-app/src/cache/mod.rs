//! Pages for readers: current or stale content, and its encoded bytes.

pub(crate) mod encoded_page;
pub mod page_cache;
