//! Generates the content of new Secrets, and reads and patches the data of existing ones.
//!
//! Randomness and time are used here, outside of the steps that do no I/O.

use flaskblog_api::{Child, children::MANAGER};
use k8s_openapi::{api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::ObjectMeta, jiff::Timestamp};
use kube::{
    Api,
    api::{DynamicObject, Patch, PatchParams},
};
use rand::Rng;
use serde_json::{Value, json};

use crate::{
    context::Context,
    model::{blog_meta::BlogMeta, error::Error},
    reconcile::{
        actions::certificates::{Content, first, unattended},
        desired::new_secret,
    },
};

/// A desired Secret with its first content.
///
/// # Errors
/// [`Error::Certificate`] when the system provides no randomness.
pub fn generate_secret(id: &BlogMeta, role: Child, wanted: &DynamicObject) -> Result<DynamicObject, Error> {
    with(id, role, wanted, first)
}

/// A desired Secret for a blog without an operator.
///
/// # Errors
/// As [`generate_secret`].
pub fn standalone(id: &BlogMeta, role: Child, wanted: &DynamicObject) -> Result<DynamicObject, Error> {
    with(id, role, wanted, unattended)
}

fn with(
    id: &BlogMeta,
    role: Child,
    wanted: &DynamicObject,
    certificates: fn(&BlogMeta, Timestamp) -> Result<Content, rcgen::Error>,
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

/// Reads a Secret with its data before a change (client required).
///
/// # Errors
/// [`Error::Read`] when it can't be read or doesn't exist.
pub async fn read_secret(ctx: &Context, id: &BlogMeta, role: Child) -> Result<Secret, Error> {
    let name = role.name(&id.name);
    api(ctx, id).get(&name).await.map_err(|source| Error::Read {
        kind: "Secret".into(),
        name,
        source: Box::new(source),
    })
}

/// Patches keys and annotations of the version read (client required).
///
/// # Errors
/// [`Error::Write`] when it was refused, or another client has changed the Secret meanwhile.
pub async fn patch_secret(
    ctx: &Context,
    id: &BlogMeta,
    role: Child,
    read: &ObjectMeta,
    verb: &'static str,
    mut patch: Value,
) -> Result<(), Error> {
    let name = role.name(&id.name);
    patch["metadata"]["resourceVersion"] = json!(read.resource_version);
    let params = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
    ctx.metrics.api_writes.get_or_create(&(verb, role.kind()).into()).inc();
    let written = api(ctx, id).patch(&name, &params, &Patch::Merge(patch)).await;
    written.map(|_| ()).map_err(|source| Error::Write {
        verb,
        kind: "Secret".into(),
        name,
        source: Box::new(source),
    })
}

fn api(ctx: &Context, id: &BlogMeta) -> Api<Secret> {
    Api::namespaced(ctx.client.0.clone(), &id.namespace)
}
