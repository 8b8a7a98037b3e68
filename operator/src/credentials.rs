//! New Secrets: what they hold is drawn, dated and signed here, outside of the steps that do no I/O.

use flaskblog_api::Child;
use k8s_openapi::jiff::Timestamp;
use kube::api::DynamicObject;
use rand::Rng;
use serde_json::json;

use crate::{
    certificates::{Content, first, unattended},
    desired::new_secret,
    error::Error,
    identity::Identity,
};

/// A Secret that is wanted, with its first content.
///
/// # Errors
/// [`Error::Certificate`] when the system gives no randomness.
pub fn fresh(id: &Identity, role: Child, wanted: &DynamicObject) -> Result<DynamicObject, Error> {
    with(id, role, wanted, first)
}

/// The same for a blog without an operator.
///
/// # Errors
/// As [`fresh`].
pub fn standalone(id: &Identity, role: Child, wanted: &DynamicObject) -> Result<DynamicObject, Error> {
    with(id, role, wanted, unattended)
}

fn with(
    id: &Identity,
    role: Child,
    wanted: &DynamicObject,
    certificates: fn(&Identity, Timestamp) -> Result<Content, rcgen::Error>,
) -> Result<DynamicObject, Error> {
    if role != Child::DatabaseCertificates {
        return Ok(new_secret(role, wanted, &mut |bound| rand::rng().random_range(0..bound)));
    }
    let Content { data, annotations } = certificates(id, Timestamp::now())
        .map_err(|source| Error::Certificate { name: role.name(&id.name), source })?;
    let mut secret = DynamicObject { data: json!({"type": "Opaque", "stringData": data}), ..wanted.clone() };
    let dates = annotations.into_iter().map(|(key, value)| (key.to_owned(), value));
    secret.metadata.annotations.get_or_insert_default().extend(dates);
    Ok(secret)
}
