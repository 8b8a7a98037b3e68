//! Converts fields that the operator once wrote by an update into applied fields, so that they are removed with their spec.
//!
//! Server-side apply removes only fields of an earlier apply of the same manager
//! (<https://kubernetes.io/docs/reference/using-api/server-side-apply/#upgrading-from-client-side-apply>).

use flaskblog_api::{Child, children::MANAGER};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{FieldsV1, ManagedFieldsEntry};
use kube::{
    Client, ResourceExt,
    api::{DynamicObject, Patch, PatchParams},
};
use serde_json::{Value, json};
use tracing::warn;

use crate::{
    cache::wire_format::ObjectWithoutManagedFields,
    k8s::api::child_api,
    model::{blog_meta::BlogMeta, error::Error, managed_fields::is_own},
};

/// Turns the operator's updates of a child into applies (client required). The next apply removes unwanted fields.
///
/// # Errors
/// [`Error::Read`], or [`Error::Write`] if the object has changed meanwhile. Another refusal leaves only a field behind.
pub async fn take_over(client: &Client, id: &BlogMeta, role: Child) -> Result<(), Error> {
    let (kind, name) = (role.kind(), role.name(&id.name));
    let named = || kind.api_resource().kind;
    let read = child_api::<DynamicObject>(client, id, kind).get(&name).await;
    let object =
        read.map_err(|source| Error::Read { kind: named(), name: name.clone(), source: Box::new(source) })?;
    let patch = as_applied(&object).and_then(|patch| serde_json::from_value(patch).ok());
    let Some(patch) = patch.map(Patch::<()>::Json) else { return Ok(()) };
    let params = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
    match child_api::<ObjectWithoutManagedFields>(client, id, kind).patch(&name, &params, &patch).await {
        Ok(_) => Ok(()),
        Err(source @ kube::Error::Api(_)) if is_conflict(&source) => Err(Error::Write {
            verb: "take over the fields of",
            kind: named(),
            name,
            source: Box::new(source),
        }),
        Err(error) => {
            warn!(name, %error, "failed to take over the fields of an object");
            Ok(())
        }
    }
}

fn is_conflict(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.is_conflict())
}

/// The patch that turns the operator's updates, if any, into applies.
///
/// It fails with a conflict if the object has changed since it was read.
fn as_applied(object: &DynamicObject) -> Option<Value> {
    let entries = merged(object.managed_fields())?;
    Some(json!([
        {"op": "replace", "path": "/metadata/managedFields", "value": entries},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": object.resource_version()},
    ]))
}

fn merged(entries: &[ManagedFieldsEntry]) -> Option<Vec<ManagedFieldsEntry>> {
    let (updates, mut others): (Vec<_>, Vec<_>) =
        entries.iter().cloned().partition(|entry| is_own(entry, "Update"));
    let mut own = match others.iter().position(|entry| is_own(entry, "Apply")) {
        Some(at) => others.remove(at),
        None => ManagedFieldsEntry { operation: Some("Apply".into()), ..updates.first()?.clone() },
    };
    if updates.is_empty() {
        return None;
    }
    let mut fields = own.fields_v1.map_or_else(|| json!({}), |fields| fields.0);
    for update in updates.into_iter().filter_map(|entry| entry.fields_v1) {
        unite(&mut fields, update.0);
    }
    own.fields_v1 = Some(FieldsV1(fields));
    others.push(own);
    Some(others)
}

/// Merges two field sets, which are objects keyed by field.
fn unite(fields: &mut Value, more: Value) {
    if let (Value::Object(fields), Value::Object(more)) = (fields, more) {
        for (field, below) in more {
            unite(fields.entry(field).or_insert_with(|| json!({})), below);
        }
    }
}

#[cfg(test)]
mod tests {
    use flaskblog_api::OwnedKind;

    use super::*;
    use crate::model::managed_fields::holds_by_update;

    fn object(managed: Value) -> DynamicObject {
        let object = json!({"metadata": {"name": "x", "resourceVersion": "7", "managedFields": managed}});
        serde_json::from_value(object).unwrap()
    }

    fn entry(manager: &str, operation: &str, fields: Value) -> Value {
        json!({"manager": manager, "operation": operation, "apiVersion": "apps/v1", "fieldsType": "FieldsV1",
            "fieldsV1": fields})
    }

    #[test]
    fn own_updates_become_a_part_of_what_was_applied() {
        let others = entry("kubectl", "Update", json!({"f:spec": {"f:paused": {}}}));
        let mut status = entry(MANAGER, "Update", json!({"f:status": {}}));
        status["subresource"] = json!("status");
        let object = object(json!([
            entry(MANAGER, "Apply", json!({"f:spec": {"f:replicas": {}}})),
            others,
            entry(MANAGER, "Update", json!({"f:spec": {"f:nodeSelector": {".": {}, "f:disk": {}}}})),
            status,
        ]));
        assert!(holds_by_update(OwnedKind::Deployment, &object));
        assert!(!holds_by_update(OwnedKind::Secret, &object));
        let patch = as_applied(&object).unwrap();
        assert_eq!(patch[1]["value"], "7");
        let entries = patch[0]["value"].as_array().unwrap();
        assert_eq!(entries[..2], [others, status]);
        let both = json!({"f:spec": {"f:replicas": {}, "f:nodeSelector": {".": {}, "f:disk": {}}}});
        assert_eq!((&entries[2]["operation"], &entries[2]["fieldsV1"]), (&json!("Apply"), &both));
    }

    #[test]
    fn an_update_without_an_apply_becomes_one() {
        let object = object(json!([entry(MANAGER, "Update", json!({"f:spec": {}}))]));
        let patch = as_applied(&object).unwrap();
        assert_eq!(patch[0]["value"], json!([entry(MANAGER, "Apply", json!({"f:spec": {}}))]));
    }

    #[test]
    fn an_object_without_own_updates_is_left_as_it_is() {
        let object =
            object(json!([entry(MANAGER, "Apply", json!({})), entry("kubectl", "Update", json!({}))]));
        assert!(!holds_by_update(OwnedKind::Deployment, &object) && as_applied(&object).is_none());
    }
}
