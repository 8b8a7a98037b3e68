//! Pages for readers: their content, fresh or last known, and their bytes.

pub(crate) mod encoded_page;
pub mod page_cache;
