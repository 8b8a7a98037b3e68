//! What handlers extract from requests.

pub(crate) mod current_user;
pub mod form_body;
pub(crate) mod member;
pub(crate) mod path_id;
