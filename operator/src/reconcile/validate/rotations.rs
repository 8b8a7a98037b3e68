//! The rotations after which the pods must have started.

use flaskblog_api::{Child, children::ROTATION};
use kube::ResourceExt;

use crate::model::observed::Observed;

/// The last rotation of a Secret. As a pod template's annotation it rolls the pods once.
#[must_use]
pub fn last_rotation(observed: &Observed, role: Child) -> Option<String> {
    observed.children.get(&role)?.annotations().get(ROTATION).cloned()
}

/// The annotation of the pod template that rolls the pods.
#[must_use]
pub fn template_annotation(role: Child) -> &'static str {
    if role == Child::DatabaseSecret {
        "flaskblog.dev/password-rotation"
    } else {
        "flaskblog.dev/session-key-rotation"
    }
}
