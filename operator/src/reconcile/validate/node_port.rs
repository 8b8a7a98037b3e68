//! The previous node port of a Service, as a Secret of the blog records it.

use flaskblog_api::{Child, FlaskBlog, children::NODE_PORT};
use kube::{ResourceExt, api::DynamicObject};

use crate::model::observed::Observed;

/// The session Secret, the only one that every blog has.
pub const RECORD: Child = Child::SessionSecret;

/// The last node port, if the spec pins none (no client required).
///
/// A Service of type ClusterIP has none.
#[must_use]
pub fn remembered_node_port(blog: &FlaskBlog, observed: &Observed) -> Option<i32> {
    let service = &blog.spec.service;
    if service.node_port.is_some() || service.type_.as_str() == "ClusterIP" {
        return None;
    }
    let reported = blog.status.as_ref().and_then(|status| status.node_port);
    reported.or_else(|| recorded(observed.children.get(&RECORD)?))
}

fn recorded(secret: &DynamicObject) -> Option<i32> {
    recorded_text(secret)?.parse().ok()
}

/// The annotation's text.
pub fn recorded_text(secret: &DynamicObject) -> Option<&String> {
    secret.annotations().get(NODE_PORT)
}
