//! The node port of a blog's Service, recorded on a Secret that outlives the blog.
//!
//! A blog that is deleted and applied again keeps its address.

use std::sync::Arc;

use flaskblog_api::{
    Child, DeletionPolicy, OwnedKind,
    children::{MANAGER, NODE_PORT},
};
use kube::api::{DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};

use crate::{
    context::Context,
    k8s::api::child_api,
    model::{
        blog_meta::BlogMeta,
        error::Error,
        objects::{Applied, Objects},
    },
    reconcile::{
        observe::without_data,
        validate::node_port::{RECORD, recorded_text},
    },
};

/// Records the Service's current node port (client required). Under `Delete` no record would remain.
///
/// # Errors
/// [`Error::Write`] when the API server refuses it.
pub async fn record_node_port(
    ctx: &Context,
    id: &BlogMeta,
    policy: DeletionPolicy,
    applied: &Objects<Applied>,
) -> Result<(), Error> {
    let (Some(service), Some(secret)) = (applied.get(Child::AppService), applied.get(RECORD)) else {
        return Ok(());
    };
    let port = service.data.pointer("/spec/ports/0/nodePort").and_then(Value::as_i64);
    let Some(port) = port
        .filter(|port| policy == DeletionPolicy::Retain && recorded_text(secret) != Some(&port.to_string()))
    else {
        return Ok(());
    };
    let (kind, name) = (OwnedKind::Secret, RECORD.name(&id.name));
    let patch = json!({"metadata": {"resourceVersion": secret.metadata.resource_version,
        "annotations": {NODE_PORT: port.to_string()}}});
    let params = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
    ctx.metrics.api_writes.get_or_create(&("annotate", kind).into()).inc();
    let api = child_api::<DynamicObject>(&ctx.client.0, id, kind);
    let written = api.patch_metadata(&name, &params, &Patch::Merge(patch)).await;
    let written = written.map_err(|source| Error::Write {
        verb: "record the node port in",
        kind: kind.api_resource().kind,
        name,
        source: Box::new(source),
    })?;
    ctx.children.insert(kind, &without_data(written));
    Ok(())
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
