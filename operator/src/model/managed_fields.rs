//! Fields of an object that the operator manages by an update.

use flaskblog_api::{OwnedKind, children::MANAGER};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::{ResourceExt, api::DynamicObject};
use serde::{Deserialize, Deserializer};

/// Whether the operator manages fields of the object by an update.
///
/// Secrets are created with POST, and lose a field only by name.
#[must_use]
pub fn holds_by_update(kind: OwnedKind, object: &DynamicObject) -> bool {
    kind != OwnedKind::Secret && object.managed_fields().iter().any(|entry| is_own(entry, "Update"))
}

/// The managers' entries of the operator's updates, without the fields.
///
/// The rest would be most of the object.
#[must_use]
pub fn own_updates(entries: &[ManagedFieldsEntry]) -> Option<Vec<ManagedFieldsEntry>> {
    let own = entries.iter().filter(|entry| is_own(entry, "Update")).map(|entry| ManagedFieldsEntry {
        manager: entry.manager.clone(),
        operation: entry.operation.clone(),
        ..ManagedFieldsEntry::default()
    });
    let own: Vec<_> = own.collect();
    (!own.is_empty()).then_some(own)
}

/// Deserializes like [`own_updates`].
///
/// # Errors
/// If the entries are malformed.
pub fn parse_own_updates<'de, D>(from: D) -> Result<Option<Vec<ManagedFieldsEntry>>, D::Error>
where
    D: Deserializer<'de>,
{
    #[derive(Deserialize)]
    struct Entry {
        manager: Option<String>,
        operation: Option<String>,
        subresource: Option<String>,
    }
    let entries = Option::<Vec<Entry>>::deserialize(from)?.unwrap_or_default();
    let entries = entries.into_iter().map(|Entry { manager, operation, subresource }| ManagedFieldsEntry {
        manager,
        operation,
        subresource,
        ..ManagedFieldsEntry::default()
    });
    Ok(own_updates(&entries.collect::<Vec<_>>()))
}

/// Whether the operator manages fields by that operation.
///
/// Fields of a subresource don't count.
pub fn is_own(entry: &ManagedFieldsEntry, operation: &str) -> bool {
    let status = entry.subresource.as_deref().is_some_and(|part| !part.is_empty());
    entry.manager.as_deref() == Some(MANAGER) && entry.operation.as_deref() == Some(operation) && !status
}
