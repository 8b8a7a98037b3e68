//! Which rotations the pods must have started after.

use flaskblog_api::{Child, children::ROTATION};
use kube::ResourceExt;

use crate::model::observed::Observed;

/// The rotation that a Secret has seen last, for the pod template: every new one rolls the pods once.
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
