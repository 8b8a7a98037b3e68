//! Step 1 (client required): what exists and decides. Reads only, all by name or by the blog's own labels.

use std::collections::BTreeMap;

use flaskblog_api::{
    Child, FlaskBlogSpec, OwnedKind,
    children::{Component, data_claim, database_pod, selector_text},
};
use futures::{StreamExt, TryStreamExt, future, stream};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::{
    Api, Client,
    api::{DynamicObject, ListParams, PartialObjectMeta},
};

use crate::{error::Error, identity::Identity};

/// More pods than this of one blog are never looked at; the spec allows 50 replicas, doubled in a rollout.
const POD_LIMIT: u32 = 128;
/// Reads of one reconcile that are under way at once.
const PARALLEL_READS: usize = 4;

/// What is there.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// The children that exist, ours or not. Secrets come without their data.
    pub children: BTreeMap<Child, DynamicObject>,
    /// The claim of MySQL's volume.
    pub data_claim: Option<PersistentVolumeClaim>,
    /// MySQL's pod.
    pub database_pod: Option<Pod>,
    /// The blog's pods.
    pub app_pods: Vec<Pod>,
    /// The Secret that the spec names for an external database isn't there.
    pub external_secret_missing: bool,
}

/// How much storage a claim asks for.
#[must_use]
pub fn claim_request(claim: &PersistentVolumeClaim) -> Option<String> {
    let requests = claim.spec.as_ref()?.resources.as_ref()?.requests.as_ref()?;
    requests.get("storage").map(|size| size.0.clone())
}

/// Reads everything that the next steps decide on.
///
/// # Errors
/// [`Error::Read`] when the API server doesn't answer or forbids it.
pub async fn observe(client: &Client, id: &Identity, spec: &FlaskBlogSpec) -> Result<Observed, Error> {
    let (children, data_claim, database_pod, app_pods, external_secret_missing) = future::try_join5(
        children(client, id),
        claim(client, id),
        pod(client, id),
        app_pods(client, id),
        external_secret_missing(client, id, spec),
    )
    .await?;
    Ok(Observed { children, data_claim, database_pod, app_pods, external_secret_missing })
}

/// Only whether it is there: its data is for the pods.
async fn external_secret_missing(
    client: &Client,
    id: &Identity,
    spec: &FlaskBlogSpec,
) -> Result<bool, Error> {
    let Some(external) = &spec.database.external else { return Ok(false) };
    let name = &external.credentials_secret;
    let found = child_api(client, id, OwnedKind::Secret).get_metadata_opt(name).await;
    found.map(|found| found.is_none()).map_err(|source| read_error("Secret", name.clone(), source))
}

async fn children(client: &Client, id: &Identity) -> Result<BTreeMap<Child, DynamicObject>, Error> {
    stream::iter(Child::ALL)
        .map(|role| async move { Ok(child(client, id, role).await?.map(|object| (role, object))) })
        .buffer_unordered(PARALLEL_READS)
        .try_filter_map(future::ok)
        .try_collect()
        .await
}

/// Reads one child. Of a Secret only the metadata: what the operator never reads it can't leak.
async fn child(client: &Client, id: &Identity, role: Child) -> Result<Option<DynamicObject>, Error> {
    let api = child_api(client, id, role.kind());
    let name = role.name(&id.name);
    let read = if role.kind() == OwnedKind::Secret {
        api.get_metadata_opt(&name).await.map(|found| found.map(without_data))
    } else {
        api.get_opt(&name).await
    };
    read.map_err(|source| read_error(&role.kind().api_resource().kind, name, source))
}

/// The client for one kind in the blog's namespace.
#[must_use]
pub fn child_api(client: &Client, id: &Identity, kind: OwnedKind) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), &id.namespace, &kind.api_resource())
}

fn without_data(found: PartialObjectMeta<DynamicObject>) -> DynamicObject {
    DynamicObject {
        types: found.types,
        metadata: found.metadata,
        data: serde_json::Value::Object(Default::default()),
    }
}

async fn claim(client: &Client, id: &Identity) -> Result<Option<PersistentVolumeClaim>, Error> {
    let name = data_claim(&id.name);
    let api: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &id.namespace);
    api.get_opt(&name).await.map_err(|source| read_error("PersistentVolumeClaim", name, source))
}

async fn pod(client: &Client, id: &Identity) -> Result<Option<Pod>, Error> {
    let name = database_pod(&id.name);
    let api: Api<Pod> = Api::namespaced(client.clone(), &id.namespace);
    api.get_opt(&name).await.map_err(|source| read_error("Pod", name, source))
}

async fn app_pods(client: &Client, id: &Identity) -> Result<Vec<Pod>, Error> {
    let selector = selector_text(&id.name, Component::App);
    let api: Api<Pod> = Api::namespaced(client.clone(), &id.namespace);
    let list = api.list(&ListParams::default().labels(&selector).limit(POD_LIMIT)).await;
    list.map(|pods| pods.items).map_err(|source| read_error("pods", selector, source))
}

fn read_error(kind: &str, name: String, source: kube::Error) -> Error {
    Error::Read { kind: kind.to_owned(), name, source: Box::new(source) }
}
