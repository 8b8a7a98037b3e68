//! The node port of a blog's Service, recorded on a Secret that outlives the blog.
//!
//! A blog that is deleted and applied again keeps its address.

use std::sync::Arc;

use flaskblog_api::{Child, DeletionPolicy, children::NODE_PORT};
use kube::api::DynamicObject;
use serde_json::{Value, json};

use super::{Action, ObjectPatch, Purpose, Target};
use crate::{
    model::objects::{Applied, Objects},
    reconcile::validate::node_port::{RECORD, recorded_text},
};

/// The record of the Service's current node port. Under `Delete` no record would remain.
pub(super) fn recorded_node_port(policy: DeletionPolicy, applied: &Objects<Applied>) -> Option<Action> {
    let (service, secret) = (applied.get(Child::AppService)?, applied.get(RECORD)?);
    let port = service.data.pointer("/spec/ports/0/nodePort").and_then(Value::as_i64)?.to_string();
    if policy != DeletionPolicy::Retain || recorded_text(secret) == Some(&port) {
        return None;
    }
    let body = json!({"metadata": {"annotations": {NODE_PORT: port}}});
    let patch = ObjectPatch::new(Purpose::RecordNodePort, Target::Secret(RECORD), &secret.metadata, body);
    Some(Action::Patch(patch))
}

/// The Service with its recorded node port, if it lost it.
#[must_use]
pub fn with_node_port(
    remembered: Option<i32>,
    role: Child,
    wanted: &DynamicObject,
    live: Option<&Arc<DynamicObject>>,
) -> Option<DynamicObject> {
    let number = &wanted.data.pointer("/spec/ports/0")?["port"];
    let has_it = |live: &Arc<DynamicObject>| {
        let ports = live.data["spec"]["ports"].as_array().into_iter().flatten();
        ports.into_iter().any(|port| port["port"] == *number && port["nodePort"].is_i64())
    };
    let lacks_it = role == Child::AppService && !live.is_some_and(has_it);
    let port = remembered.filter(|_| lacks_it)?;
    let mut wanted = wanted.clone();
    *wanted.data.pointer_mut("/spec/ports/0")?.as_object_mut()?.entry("nodePort").or_insert(Value::Null) =
        port.into();
    Some(wanted)
}

/// Whether another port of the Service has the desired node port.
///
/// An apply would add a second port with that number, which the API server refuses with status 500.
#[must_use]
pub fn moves_port(wanted: &DynamicObject, live: &DynamicObject) -> bool {
    let Some(ours) = wanted.data.pointer("/spec/ports/0").filter(|port| port["nodePort"].is_i64()) else {
        return false;
    };
    let ports = live.data["spec"]["ports"].as_array().into_iter().flatten();
    ports.into_iter().any(|port| port["nodePort"] == ours["nodePort"] && port["port"] != ours["port"])
}
