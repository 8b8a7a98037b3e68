//! Step 4 (client required): applies the desired objects in apply order, then prunes. Writes only differences.

pub mod contests;
mod database_pod;
pub mod managed_fields;
mod replicas_handover;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use flaskblog_api::{Child, OwnedKind, children::MANAGER};
use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{
    Api, Client, ResourceExt,
    api::{
        DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy,
        TypeMeta, ValidationDirective,
    },
};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::sleep;
use tracing::debug;

use self::replicas_handover::bounds;
use crate::{
    cache::wire_format::ObjectWithoutManagedFields,
    context::Context,
    k8s::api::child_api,
    model::{
        blog_meta::BlogMeta,
        change::Change,
        error::Error,
        managed_fields::holds_by_update,
        objects::{Applied, Desired, Objects},
        observed::Observed,
        plan::Plan,
        refusals::Refusals,
        semantic_eq::{is_stopped_for_autoscaler, matches_desired, shares_data},
    },
    reconcile::{
        actions::{
            node_port::{moves_port, with_node_port},
            secrets::generate_secret,
        },
        apply::{
            contests::{explain, explain_deletion},
            managed_fields::take_over,
        },
        diff::{BlockedRollouts, needs_recreation},
    },
    telemetry::metrics::Metrics,
};

/// A resourceVersion that no object has.
///
/// An apply with it creates an object or fails with a conflict. It never changes an existing object, which may not have been
/// validated yet.
const NONEXISTENT_RESOURCE_VERSION: &str = "1";

/// Attempts to request a recorded node port, before another is used.
///
/// The API server releases the node port of a deleted Service shortly after the watch event.
const PORT_ATTEMPTS: u32 = 3;
const PORT_DELAY: Duration = Duration::from_millis(100);

/// Writes differing objects. Returns all objects as the API server has them.
///
/// `changes` lists the writes, also when an error ends the work halfway. An object that is `held` keeps its state, except
/// for the number of replicas. A refused object goes to `refusals`, and the objects that don't need it are still applied.
///
/// # Errors
/// [`Error::Write`] for a failure that concerns every object: the API server is unreachable, or the observed state is stale.
pub async fn apply(
    ctx: &Context,
    plan: &Plan,
    desired: &Objects<Desired>,
    observed: &Observed,
    held: &BlockedRollouts,
    changes: &mut Vec<Change>,
    refusals: &mut Refusals,
) -> Result<Objects<Applied>, Error> {
    let writer = Writer { client: &ctx.client.0, id: &plan.id, metrics: &ctx.metrics };
    let mut applied = BTreeMap::new();
    for (role, wanted) in desired.iter() {
        let live = observed.children.get(&role);
        let lacks = |needed: &Child| desired.get(*needed).is_some() && !applied.contains_key(needed);
        let written = if let Some(why) = plan.refused.get(&role) {
            refusals.push(why.clone());
            None
        } else if role.prerequisites().iter().any(lacks) {
            None // Its prerequisite is in `refusals`.
        } else {
            let remembered = with_node_port(plan.app.remembered_node_port, role, wanted, live);
            let attempts = remembered.iter().cycle().take(PORT_ATTEMPTS as usize).chain([wanted]);
            let mut outcome = Ok(None);
            for (attempt, wanted) in (0..).zip(attempts) {
                sleep(PORT_DELAY * attempt).await;
                outcome = writer.apply_one(ctx, role, wanted, live, desired, held, changes).await;
                if !outcome.as_ref().is_err_and(Error::is_rejected) {
                    break;
                }
            }
            refusals.collect(outcome)?.flatten()
        };
        if let Some(object) = written.or_else(|| live.cloned()) {
            applied.insert(role, object);
        }
    }
    for (role, live) in &observed.children {
        // Secrets are never pruned, whatever the spec contains: two of them hold the keys to data.
        let is_going = live.metadata.deletion_timestamp.is_some();
        if desired.get(*role).is_none() && role.kind() != OwnedKind::Secret && !is_going {
            refusals.collect(writer.prune(ctx, *role, live, changes).await)?;
        }
    }
    Ok(Objects::applied(applied))
}

/// Deletes exactly this pod.
///
/// # Errors
/// [`Error::Write`] when the API server refuses it.
pub async fn delete_pod(
    ctx: &Context,
    id: &BlogMeta,
    pod: &Pod,
    changes: &mut Vec<Change>,
) -> Result<(), Error> {
    let writer = Writer { client: &ctx.client.0, id, metrics: &ctx.metrics };
    writer.replace_pod(pod, changes).await
}

/// The request body: own metadata, and the desired object's data by reference.
#[derive(Debug, Serialize)]
struct Body<'a> {
    #[serde(flatten)]
    types: &'a Option<TypeMeta>,
    metadata: ObjectMeta,
    #[serde(flatten)]
    data: &'a Value,
}

struct Writer<'a> {
    client: &'a Client,
    id: &'a BlogMeta,
    metrics: &'a Metrics,
}

impl Writer<'_> {
    #[expect(clippy::too_many_arguments, reason = "one step of `apply`, which has all of them at hand")]
    async fn apply_one(
        &self,
        ctx: &Context,
        role: Child,
        wanted: &DynamicObject,
        live: Option<&Arc<DynamicObject>>,
        desired: &Objects<Desired>,
        held: &BlockedRollouts,
        changes: &mut Vec<Change>,
    ) -> Result<Option<Arc<DynamicObject>>, Error> {
        let written = match live {
            Some(live) if is_unchanged(role, wanted, live) => return Ok(Some(Arc::clone(live))),
            Some(live) if held.roles.contains(&role) => self.scale_alone(role, wanted, live, changes).await?,
            live if ctx.contests.holds(self.id, role, Some(wanted)) => {
                explain(ctx, self.id, role, wanted, live.map(Arc::as_ref)).await;
                return Ok(live.cloned());
            }
            live => {
                let written = self.bring_about(role, wanted, live.map(Arc::as_ref), desired, changes).await?;
                ctx.contests.wrote(self.id, role, Some(wanted));
                written
            }
        };
        ctx.children.insert(role.kind(), &written);
        Ok(Some(Arc::new(written)))
    }

    /// Writes one object by the method that fits its kind and state.
    async fn bring_about(
        &self,
        role: Child,
        wanted: &DynamicObject,
        live: Option<&DynamicObject>,
        desired: &Objects<Desired>,
        changes: &mut Vec<Change>,
    ) -> Result<DynamicObject, Error> {
        match (role, live) {
            (Child::Database, Some(live)) if needs_recreation(wanted, live) => {
                self.orphan(role, live, changes).await
            }
            (Child::App, live) if wanted.data.pointer("/spec/replicas").is_none() => {
                self.write_without_replicas(wanted, live, bounds(desired), changes).await
            }
            _ => self.write(role, wanted, live, changes).await,
        }
    }

    async fn write(
        &self,
        role: Child,
        wanted: &DynamicObject,
        live: Option<&DynamicObject>,
        changes: &mut Vec<Change>,
    ) -> Result<DynamicObject, Error> {
        if live.is_none() && role.kind() == OwnedKind::Secret {
            return self.create_secret(role, wanted, changes).await;
        }
        let keeps_foreign_item =
            live.is_some_and(|live| shares_data(wanted, live) || moves_port(wanted, live));
        // With the observed uid: an object that was deleted meanwhile isn't recreated without its data, and another object
        // of its name isn't taken over.
        let wanted = Body {
            types: &wanted.types,
            metadata: ObjectMeta {
                uid: live.and_then(ResourceExt::uid),
                resource_version: live.is_none().then(|| NONEXISTENT_RESOURCE_VERSION.to_owned()),
                ..wanted.metadata.clone()
            },
            data: &wanted.data,
        };
        let params = PatchParams {
            field_validation: Some(ValidationDirective::Strict),
            ..PatchParams::apply(MANAGER).force()
        };
        let name = role.name(&self.id.name);
        let api: Api<ObjectWithoutManagedFields> = child_api(self.client, self.id, role.kind());
        if live.is_some_and(|live| holds_by_update(role.kind(), live)) {
            take_over(self.client, self.id, role).await?;
        }
        if keeps_foreign_item {
            // Only a merge patch removes list entries of another manager.
            self.reset_lists(&api, &name, &wanted).await;
            take_over(self.client, self.id, role).await?;
        }
        self.metrics.api_writes.get_or_create(&("apply", role.kind()).into()).inc();
        let mut outcome = api.patch(&name, &params, &Patch::Apply(&wanted)).await;
        if live.is_some() && outcome.as_ref().is_err_and(is_rejected) {
            self.metrics.api_writes.get_or_create(&("reset", role.kind()).into()).inc();
            self.reset_lists(&api, &name, &wanted).await;
            take_over(self.client, self.id, role).await?;
            self.metrics.api_writes.get_or_create(&("apply", role.kind()).into()).inc();
            outcome = api.patch(&name, &params, &Patch::Apply(&wanted)).await;
        }
        let ObjectWithoutManagedFields(mut object) =
            outcome.map_err(|source| write_error("apply", role.kind(), &name, source))?;
        if role.kind() == OwnedKind::Secret {
            object.data = json!({});
        }
        let reason = if live.is_none() { "Created" } else { "Updated" };
        changes.push(Change { reason, kind: role.kind().api_resource().kind, name });
        Ok(object)
    }

    /// Deletes a StatefulSet without its pod. The next reconcile recreates it around the pod.
    ///
    /// The pod gets another owner first. With the FlaskBlog as owner it is still collected if the operator stops right here.
    async fn orphan(
        &self,
        role: Child,
        live: &DynamicObject,
        changes: &mut Vec<Change>,
    ) -> Result<DynamicObject, Error> {
        let params =
            DeleteParams { propagation_policy: Some(PropagationPolicy::Orphan), ..exactly(live.uid()) };
        self.own_database_pod().await?;
        self.delete(role, &params, "Recreating", changes).await?;
        Ok(live.clone())
    }

    /// Resets lists with a merge patch, which replaces whole lists.
    ///
    /// If another client changed a list's key, such as a port's number, apply adds a second entry. The API server refuses
    /// it as a duplicate. Ports that the cluster has chosen are kept by name. If the patch fails too, the apply after it
    /// returns the error.
    async fn reset_lists(&self, api: &Api<ObjectWithoutManagedFields>, name: &str, wanted: &Body<'_>) {
        let Some(spec) = wanted.data.get("spec") else { return };
        let patch = json!({"metadata": {"uid": wanted.metadata.uid}, "spec": spec});
        let params = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
        if let Err(error) = api.patch(name, &params, &Patch::Merge(patch)).await {
            debug!(name, %error, "the lists could not be reset");
        }
    }

    /// Creates a Secret by POST, and never writes it again.
    ///
    /// POST fails if the Secret exists.
    ///
    /// A password in use must survive two operators at once, stale reads and any other bug. The fields that server-side apply
    /// would add are present from the start, so no second write is needed.
    async fn create_secret(
        &self,
        role: Child,
        wanted: &DynamicObject,
        changes: &mut Vec<Change>,
    ) -> Result<DynamicObject, Error> {
        let secret = generate_secret(self.id, role, wanted)?;
        let (name, kind) = (role.name(&self.id.name), role.kind());
        self.metrics.api_writes.get_or_create(&("create", kind).into()).inc();
        let params = PostParams { field_manager: Some(MANAGER.into()), ..PostParams::default() };
        let created: Result<DynamicObject, _> =
            child_api(self.client, self.id, kind).create(&params, &secret).await;
        let mut created = created.map_err(|source| write_error("create", kind, &name, source))?;
        created.data = json!({});
        changes.push(Change { reason: "Created", kind: kind.api_resource().kind, name });
        Ok(created)
    }

    /// Deletes an unwanted object, unless another manager keeps recreating it.
    async fn prune(
        &self,
        ctx: &Context,
        role: Child,
        live: &DynamicObject,
        changes: &mut Vec<Change>,
    ) -> Result<(), Error> {
        if ctx.contests.holds(self.id, role, None) {
            explain_deletion(ctx, self.id, role, live).await;
            return Ok(());
        }
        self.delete(role, &exactly(live.uid()), "Deleted", changes).await?;
        ctx.contests.wrote(self.id, role, None);
        Ok(())
    }

    async fn delete(
        &self,
        role: Child,
        params: &DeleteParams,
        reason: &'static str,
        changes: &mut Vec<Change>,
    ) -> Result<(), Error> {
        let (name, kind) = (role.name(&self.id.name), role.kind());
        self.metrics.api_writes.get_or_create(&("delete", kind).into()).inc();
        tolerate_gone(
            child_api::<DynamicObject>(self.client, self.id, kind).delete(&name, params).await.map(|_| ()),
        )
        .map_err(|source| write_error("delete", kind, &name, source))?;
        changes.push(Change { reason, kind: kind.api_resource().kind, name });
        Ok(())
    }
}

/// Whether no write is needed.
fn is_unchanged(role: Child, wanted: &DynamicObject, live: &DynamicObject) -> bool {
    let is_stopped = role == Child::App && is_stopped_for_autoscaler(wanted, live);
    let is_foreign = holds_by_update(role.kind(), live) || shares_data(wanted, live);
    matches_desired(wanted, live) && !is_stopped && !is_foreign
}

/// Deletes exactly this object, and not a later one of its name.
fn exactly(uid: Option<String>) -> DeleteParams {
    DeleteParams {
        preconditions: Some(Preconditions { uid, resource_version: None }),
        ..DeleteParams::background()
    }
}

fn is_rejected(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 422)
}

fn tolerate_gone(result: Result<(), kube::Error>) -> Result<(), kube::Error> {
    match result {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        other => other,
    }
}

fn write_error(verb: &'static str, kind: OwnedKind, name: &str, source: kube::Error) -> Error {
    Error::Write { verb, kind: kind.api_resource().kind, name: name.to_owned(), source: Box::new(source) }
}
