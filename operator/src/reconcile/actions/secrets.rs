//! Secrets: what new ones hold is drawn, dated and signed here, outside of the steps that do no I/O; and here alone the data
//! of those that are there is read and changed.

use flaskblog_api::{Child, children::MANAGER};
use k8s_openapi::{api::core::v1::Secret, jiff::Timestamp};
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

/// A Secret that is wanted, with its first content.
///
/// # Errors
/// [`Error::Certificate`] when the system gives no randomness.
pub fn fresh(id: &BlogMeta, role: Child, wanted: &DynamicObject) -> Result<DynamicObject, Error> {
    with(id, role, wanted, first)
}

/// The same for a blog without an operator.
///
/// # Errors
/// As [`fresh`].
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

/// The Secret with its data, which somebody is about to change (client required).
///
/// # Errors
/// [`Error::Read`] when it can't be read or isn't there.
pub async fn read(ctx: &Context, id: &BlogMeta, role: Child) -> Result<Secret, Error> {
    let name = role.name(&id.name);
    api(ctx, id).get(&name).await.map_err(|source| Error::Read {
        kind: "Secret".into(),
        name,
        source: Box::new(source),
    })
}

/// Changes keys and annotations of the Secret that was read, and only of that version of it (client required).
///
/// # Errors
/// [`Error::Write`] when it was refused, or somebody has changed the Secret meanwhile.
pub async fn revise(
    ctx: &Context,
    id: &BlogMeta,
    role: Child,
    read: &Secret,
    verb: &'static str,
    mut patch: Value,
) -> Result<(), Error> {
    let name = role.name(&id.name);
    patch["metadata"]["resourceVersion"] = json!(read.metadata.resource_version);
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
