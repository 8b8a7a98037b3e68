//! Step 1 (client required): reads the objects that decide. All reads are by name or by the blog's own labels.

pub mod database_pod;
pub mod pod_warnings;

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    cache::{replica_health::Lookup, wire_format::ObjectWithoutManagedFields},
    context::Context,
    k8s::{api::child_api, discovery::is_not_served},
    model::{
        blog_meta::BlogMeta,
        error::Error,
        objects::ByRole,
        observed::{Observed, ReplicaReport},
        semantic_eq::{is_rolled_out, runs_the_newest_template},
    },
    reconcile::observe::pod_warnings::read_pod_warnings,
};
use flaskblog_api::{
    Child, FlaskBlog, OwnedKind,
    children::{Component, data_claim, database_pod, selector_text},
    conditions::{self, reasons},
};
use futures::{StreamExt, TryStreamExt, future, stream};
use k8s_controller::conditions::find;
use k8s_openapi::{
    api::core::v1::{PersistentVolumeClaim, Pod},
    apimachinery::pkg::apis::meta::v1::Condition,
};
use kube::{
    Api, Client,
    api::{DynamicObject, ListParams, PartialObjectMeta},
};

/// Largest number of pods of one blog that are read.
///
/// The spec allows 50 replicas, doubled in a rollout.
const POD_LIMIT: u32 = 128;
/// Concurrent reads of one reconcile.
const PARALLEL_READS: usize = 4;

/// Reads all input of the next steps. Pods are read only where their owners' status isn't enough.
///
/// # Errors
/// [`Error::Read`] when the API server doesn't answer or forbids it.
pub async fn observe(ctx: &Context, id: &BlogMeta, blog: &FlaskBlog) -> Result<Observed, Error> {
    let client = &ctx.client.0;
    let anew = ctx.children.is_due(&id.uid, ctx.settings.resync) || ctx.watch_failures.any_failing();
    look_for_kinds(ctx, blog).await?;
    let mut children = children(ctx, id, anew).await?;
    let missing_kinds = ctx.discovery.missing();
    let whole = [Child::DatabaseSecret, Child::SessionSecret, Child::Database];
    let is_whole = whole.iter().all(|role| children.contains_key(role));
    let has_claim_changed = ctx.claims.take_changed(id);
    let claim_was_read = anew || !is_whole || !told_ready(blog) || tells_of_claim(blog) || has_claim_changed;
    let data_claim = async { if claim_was_read { claim(client, id).await } else { Ok(None) } };
    let database_pod = async {
        if children.get(&Child::Database).is_none_or(|set| runs_the_newest_template(set)) {
            Ok(None)
        } else {
            pod(client, id).await
        }
    };
    let pods_of_app = async {
        if app_needs_no_look(children.get(&Child::App), blog) {
            Ok(Vec::new())
        } else {
            app_pods(client, id, blog.spec.hibernate).await
        }
    };
    let secret_missing = external_secret_missing(client, id, blog);
    let (data_claim, database_pod, app_pods, external_secret_missing) =
        future::try_join4(data_claim, database_pod, pods_of_app, secret_missing).await?;
    if data_claim.is_some() || [Child::Database, Child::App].iter().any(|role| children.contains_key(role)) {
        look_for_secrets(ctx, id, &mut children).await?;
    }
    let pod_warnings = read_pod_warnings(client, id, &children, database_pod.as_ref(), &app_pods).await?;
    let replica_report = replica_report(ctx, id, blog, children.get(&Child::App), &app_pods).await?;
    let foreign = BTreeMap::new();
    Ok(Observed {
        children,
        foreign,
        data_claim,
        claim_was_read,
        database_pod,
        app_pods,
        pod_warnings,
        replica_report,
        missing_kinds,
        external_secret_missing,
    })
}

/// The replicas' reports of their database. Pods are listed only if they may have changed.
async fn replica_report(
    ctx: &Context,
    id: &BlogMeta,
    blog: &FlaskBlog,
    deployment: Option<&Arc<DynamicObject>>,
    listed: &[Pod],
) -> Result<Option<ReplicaReport>, Error> {
    let Some(deployment) = deployment else { return Ok(None) };
    if deployment.data["status"]["replicas"].as_i64().unwrap_or(0) == 0 {
        ctx.replicas.forget(&id.uid);
        return Ok(None);
    }
    let pods = match ctx.replicas.lookup(&id.uid, deployment, told_ready(blog)) {
        Lookup::Recent(report) => return Ok(report),
        _ if !listed.is_empty() => Some(listed.to_vec()),
        Lookup::Known => None,
        Lookup::List => Some(app_pods(&ctx.client.0, id, false).await?),
    };
    Ok(ctx.replicas.ask(&id.uid, deployment, pods.as_deref()).await)
}

/// Refreshes discovery for a blog that needs an optional kind. Otherwise the last result is good enough.
async fn look_for_kinds(ctx: &Context, blog: &FlaskBlog) -> Result<(), Error> {
    let wanted = Child::ALL.into_iter().any(|role| role.kind().may_be_missing() && is_asked_for(blog, role));
    if wanted {
        let looked = ctx.discovery.refresh(&ctx.client.0).await;
        looked.map_err(|source| read_error("which kinds", "the cluster has".into(), source))?;
    }
    Ok(())
}

/// Whether the Secret is missing. Its data is only for the pods.
async fn external_secret_missing(client: &Client, id: &BlogMeta, blog: &FlaskBlog) -> Result<bool, Error> {
    let Some(external) = &blog.spec.database.external else { return Ok(false) };
    let name = &external.credentials_secret;
    let found = child_api::<DynamicObject>(client, id, OwnedKind::Secret).get_metadata_opt(name).await;
    found.map(|found| found.is_none()).map_err(|source| read_error("Secret", name.clone(), source))
}

/// Whether the blog's pods need no read.
///
/// There are none, or all are ready and the status has reported it, so the schema version is known. A blog that is being
/// hibernated waits for its last pod.
fn app_needs_no_look(deployment: Option<&Arc<DynamicObject>>, blog: &FlaskBlog) -> bool {
    let Some(deployment) = deployment else { return true };
    let told = ready(blog).is_some_and(|ready| !blog.spec.hibernate || of_this_spec(blog, ready));
    told && is_rolled_out(deployment)
}

/// Whether the status reports a transient state of the PVC.
///
/// It is expanding, or the volume is lost.
fn tells_of_claim(blog: &FlaskBlog) -> bool {
    let Some(status) = &blog.status else { return false };
    let degraded = find(&status.conditions, conditions::DEGRADED);
    let of_volume = [reasons::VOLUME_DELETING, reasons::VOLUME_LOST];
    find(&status.conditions, conditions::STORAGE_RESIZING).is_some()
        || degraded.is_some_and(|degraded| of_volume.contains(&degraded.reason.as_str()))
}

/// Whether the status reports this generation as ready.
fn told_ready(blog: &FlaskBlog) -> bool {
    ready(blog).is_some_and(|ready| of_this_spec(blog, ready))
}

/// The condition Ready, if it is true.
fn ready(blog: &FlaskBlog) -> Option<&Condition> {
    let ready = blog.status.as_ref().and_then(|status| find(&status.conditions, conditions::READY));
    ready.filter(|one| one.status == "True")
}

fn of_this_spec(blog: &FlaskBlog, condition: &Condition) -> bool {
    condition.observed_generation == blog.metadata.generation
}

async fn children(ctx: &Context, id: &BlogMeta, anew: bool) -> Result<ByRole, Error> {
    stream::iter(Child::ALL)
        .filter(|role| future::ready(!ctx.discovery.is_missing(role.kind())))
        .filter(|role| future::ready(anew || !is_absent(ctx, id, *role)))
        .map(|role| async move { Ok(child(ctx, id, role, anew).await?.map(|object| (role, object))) })
        .buffer_unordered(PARALLEL_READS)
        .try_filter_map(future::ok)
        .try_collect()
        .await
}

/// Whether the watch reports no such child of the blog.
///
/// An unmanaged object of that name makes the create fail with a conflict, see [`crate::reconcile::apply`].
fn is_absent(ctx: &Context, id: &BlogMeta, role: Child) -> bool {
    ctx.children.is_absent(role.kind(), &id.namespace, &role.name(&id.name))
}

/// Reads the Secrets that their watch reports as missing.
///
/// A Secret that has lost the labels of the watch may still exist. Data, or a blog that uses it, depends on it.
async fn look_for_secrets(ctx: &Context, id: &BlogMeta, children: &mut ByRole) -> Result<(), Error> {
    for role in Child::ALL.into_iter().filter(|role| role.kind() == OwnedKind::Secret) {
        if !children.contains_key(&role)
            && let Some(secret) = child(ctx, id, role, true).await?
        {
            children.insert(role, secret);
        }
    }
    Ok(())
}

/// Whether the spec enables this child by a field of its own.
fn is_asked_for(blog: &FlaskBlog, role: Child) -> bool {
    let monitoring = blog.spec.monitoring.as_ref();
    match role {
        Child::Autoscaler => blog.spec.autoscaling.is_some(),
        Child::Ingress => blog.spec.ingress.is_some(),
        Child::Dashboard => monitoring.is_some_and(|wanted| wanted.dashboard),
        Child::Monitor => monitoring.is_some_and(|wanted| wanted.service_monitor),
        Child::Alerts => monitoring.is_some_and(|wanted| wanted.prometheus_rule),
        Child::Recommendation => {
            blog.spec.database.managed.as_ref().is_some_and(|wanted| wanted.recommend_resources)
        }
        _ => true,
    }
}

/// One child from the cache or by a read.
///
/// Only the metadata of a Secret is read, so the operator can't leak its data.
async fn child(
    ctx: &Context,
    id: &BlogMeta,
    role: Child,
    anew: bool,
) -> Result<Option<Arc<DynamicObject>>, Error> {
    let (kind, name) = (role.kind(), role.name(&id.name));
    if !anew && let Some(known) = ctx.children.current(kind, &id.namespace, &name) {
        return Ok(Some(Arc::new(known)));
    }
    let client = &ctx.client.0;
    let read = if kind == OwnedKind::Secret {
        child_api(client, id, kind).get_metadata_opt(&name).await.map(|found| found.map(without_data))
    } else {
        child_api::<ObjectWithoutManagedFields>(client, id, kind)
            .get_opt(&name)
            .await
            .map(|found| found.map(|object| object.0))
    };
    if kind.may_be_missing() && read.as_ref().is_err_and(is_not_served) {
        ctx.discovery.mark_unserved(kind);
        return Ok(None);
    }
    let read = read.map_err(|source| read_error(&kind.api_resource().kind, name, source))?;
    match &read {
        Some(object) => ctx.children.insert(kind, object),
        None => ctx.children.remove(kind, &id.namespace, &role.name(&id.name)),
    }
    Ok(read.map(Arc::new))
}

/// A Secret without its data.
#[must_use]
pub fn without_data(found: PartialObjectMeta<DynamicObject>) -> DynamicObject {
    DynamicObject {
        types: found.types,
        metadata: found.metadata,
        data: serde_json::Value::Object(Default::default()),
    }
}

async fn claim(client: &Client, id: &BlogMeta) -> Result<Option<PersistentVolumeClaim>, Error> {
    let name = data_claim(&id.name);
    let api: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &id.namespace);
    api.get_opt(&name).await.map_err(|source| read_error("PersistentVolumeClaim", name, source))
}

async fn pod(client: &Client, id: &BlogMeta) -> Result<Option<Pod>, Error> {
    let name = database_pod(&id.name);
    let api: Api<Pod> = Api::namespaced(client.clone(), &id.namespace);
    api.get_opt(&name).await.map_err(|source| read_error("Pod", name, source))
}

/// The blog's pods.
///
/// For the status the API server's cache is good enough and answers at once. With `exactly` it reads etcd, which takes up to a
/// tenth of a second
/// (<https://kubernetes.io/docs/reference/using-api/api-concepts/#semantics-for-get-and-list>).
async fn app_pods(client: &Client, id: &BlogMeta, exactly: bool) -> Result<Vec<Pod>, Error> {
    let selector = selector_text(&id.name, Component::App);
    let api: Api<Pod> = Api::namespaced(client.clone(), &id.namespace);
    let params = ListParams::default().labels(&selector);
    let params = if exactly { params.limit(POD_LIMIT) } else { params.match_any() };
    let list = api.list(&params).await;
    list.map(|pods| pods.items.into_iter().take(POD_LIMIT as usize).collect())
        .map_err(|source| read_error("pods", selector, source))
}

fn read_error(kind: &str, name: String, source: kube::Error) -> Error {
    Error::Read { kind: kind.to_owned(), name, source: Box::new(source) }
}
