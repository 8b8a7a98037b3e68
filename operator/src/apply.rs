//! Step 4 (client required): brings the cluster to what is desired, in apply order, then prunes. Writes only differences.

use std::{collections::BTreeMap, sync::Arc};

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
use tracing::debug;

use crate::{
    compare::is_as_wanted,
    contests::explain,
    context::Context,
    credentials::fresh,
    desired::{Applied, Desired, Objects},
    error::Error,
    identity::Identity,
    managed_fields::{holds_by_update, take_over},
    metrics::Metrics,
    observe::{Observed, child_api},
    pending::{Held, needs_recreation},
    stuck::stuck_database_pod,
    wire::Lean,
};

/// Field manager that holds the number of replicas while it passes from us to the autoscaler, or while nothing else of the
/// Deployment may change.
const HANDOVER: &str = "flaskblog-operator-replicas";

/// A version that no object has. An apply that names it makes an object or fails with a conflict; it never changes one that
/// is there, which nobody may have looked at yet.
const OF_NONE: &str = "1";

/// One change that was made, for Events and logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// `Created`, `Updated`, `Recreating`, `Deleted`, `Rotating`, `Renewed` or `Rotated`.
    pub reason: &'static str,
    /// Kind of the object.
    pub kind: String,
    /// Its name.
    pub name: String,
}

/// Writes what differs and returns every object as the API server now has it. `changes` tells what was done, also when
/// an error ends the work halfway. What is `held` stays as it is, but for the number of replicas.
///
/// # Errors
/// [`Error::Write`] for the first write that fails; what comes after it in apply order was not touched.
pub async fn apply(
    ctx: &Context,
    id: &Identity,
    desired: &Objects<Desired>,
    observed: &Observed,
    held: &Held,
    changes: &mut Vec<Change>,
) -> Result<Objects<Applied>, Error> {
    let writer = Writer { client: &ctx.client.0, id, metrics: &ctx.metrics };
    let mut applied = BTreeMap::new();
    for (role, wanted) in desired.iter() {
        let object = match observed.children.get(&role) {
            Some(live) if is_as_wanted(wanted, live) && !holds_by_update(role.kind(), live) => {
                Arc::clone(live)
            }
            Some(live) if held.roles.contains(&role) => {
                let object = writer.scale_alone(role, wanted, live, changes).await?;
                ctx.seen.remember(role.kind(), &object);
                Arc::new(object)
            }
            live if ctx.contests.holds(id, role, wanted) => {
                explain(ctx, id, role, wanted).await;
                let Some(live) = live else { continue };
                Arc::clone(live)
            }
            live => {
                let live = live.map(Arc::as_ref);
                let written = writer.bring_about(role, wanted, live, desired, changes).await?;
                ctx.contests.wrote(id, role, wanted);
                ctx.seen.remember(role.kind(), &written);
                Arc::new(written)
            }
        };
        applied.insert(role, object);
    }
    for (role, live) in &observed.children {
        // Secrets are never pruned, whatever a spec says: two of them hold the keys to data.
        if desired.get(*role).is_none() && role.kind() != OwnedKind::Secret {
            writer.delete(*role, &exactly(live.uid()), "Deleted", changes).await?;
        }
    }
    Ok(Objects::applied(applied))
}

/// Deletes MySQL's pod where Kubernetes would wait for it for ever.
///
/// # Errors
/// [`Error::Write`] when the API server refuses it.
pub async fn unstick(
    ctx: &Context,
    id: &Identity,
    observed: &Observed,
    applied: &Objects<Applied>,
    changes: &mut Vec<Change>,
) -> Result<(), Error> {
    let Some(pod) = stuck_database_pod(observed, applied.get(Child::Database)) else { return Ok(()) };
    let writer = Writer { client: &ctx.client.0, id, metrics: &ctx.metrics };
    writer.replace_pod(pod, changes).await
}

/// The autoscaler's bounds.
fn bounds(desired: &Objects<Desired>) -> (i64, i64) {
    let autoscaler = desired.get(Child::Autoscaler);
    let bound = |path: &str| autoscaler.and_then(|object| object.data.pointer(path)?.as_i64()).unwrap_or(1);
    (bound("/spec/minReplicas"), bound("/spec/maxReplicas"))
}

/// What is sent: the wanted object, with metadata of its own and without a copy of the rest.
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
    id: &'a Identity,
    metrics: &'a Metrics,
}

impl Writer<'_> {
    /// The way in which an object comes to be as wanted.
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
        // With the uid of what was observed, so that an object that is gone by now isn't made anew without its data,
        // and one that took its name meanwhile isn't taken over.
        let wanted = Body {
            types: &wanted.types,
            metadata: ObjectMeta {
                uid: live.and_then(ResourceExt::uid),
                resource_version: live.is_none().then(|| OF_NONE.to_owned()),
                ..wanted.metadata.clone()
            },
            data: &wanted.data,
        };
        let params = PatchParams {
            field_validation: Some(ValidationDirective::Strict),
            ..PatchParams::apply(MANAGER).force()
        };
        let name = role.name(&self.id.name);
        let api: Api<Lean> = child_api(self.client, self.id, role.kind());
        if live.is_some_and(|live| holds_by_update(role.kind(), live)) {
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
        let Lean(mut object) = outcome.map_err(|source| write_error("apply", role.kind(), &name, source))?;
        if role.kind() == OwnedKind::Secret {
            object.data = json!({});
        }
        let reason = if live.is_none() { "Created" } else { "Updated" };
        changes.push(Change { reason, kind: role.kind().api_resource().kind, name });
        Ok(object)
    }

    /// Lets go of the number of replicas. If it simply went from what we apply, the API server would set its default of 1:
    /// so the present number passes to another field manager first, from which the autoscaler takes it by its first change
    /// (<https://kubernetes.io/docs/reference/using-api/server-side-apply/#transferring-ownership>).
    async fn write_without_replicas(
        &self,
        wanted: &DynamicObject,
        live: Option<&DynamicObject>,
        (fewest, most): (i64, i64),
        changes: &mut Vec<Change>,
    ) -> Result<DynamicObject, Error> {
        let Some(live) = live else {
            let created = self.write(Child::App, wanted, None, changes).await?;
            return self.hand_over(&created, fewest).await;
        };
        let present = live.data.pointer("/spec/replicas").and_then(serde_json::Value::as_i64).unwrap_or(0);
        // A Deployment at 0 is off limits for an autoscaler; it starts at its lower bound.
        if present == 0 || owns_replicas(&self.read(Child::App).await?) {
            self.hand_over(live, present.clamp(fewest, most.max(fewest))).await?;
        }
        self.write(Child::App, wanted, Some(live), changes).await
    }

    /// Of a Deployment that waits for approval the number of replicas is as wanted all the same: that restarts nothing. By
    /// the other field manager, as an apply of ours that named nothing else would take away everything else.
    async fn scale_alone(
        &self,
        role: Child,
        wanted: &DynamicObject,
        live: &DynamicObject,
        changes: &mut Vec<Change>,
    ) -> Result<DynamicObject, Error> {
        let replicas = |object: &DynamicObject| object.data.pointer("/spec/replicas")?.as_i64();
        let Some(count) = replicas(wanted) else { return Ok(live.clone()) };
        if role != Child::App || replicas(live) == Some(count) {
            return Ok(live.clone());
        }
        let scaled = self.hand_over(live, count).await?;
        let (kind, name) = (role.kind().api_resource().kind, role.name(&self.id.name));
        changes.push(Change { reason: "Updated", kind, name });
        Ok(scaled)
    }

    /// The object with everything that the API server knows of it.
    async fn read(&self, role: Child) -> Result<DynamicObject, Error> {
        let name = role.name(&self.id.name);
        let read = child_api::<DynamicObject>(self.client, self.id, role.kind()).get(&name).await;
        read.map_err(|source| Error::Read {
            kind: role.kind().api_resource().kind,
            name,
            source: Box::new(source),
        })
    }

    async fn hand_over(&self, deployment: &DynamicObject, replicas: i64) -> Result<DynamicObject, Error> {
        let kind = Child::App.kind();
        let resource = kind.api_resource();
        let name = Child::App.name(&self.id.name);
        let patch = json!({"apiVersion": resource.api_version, "kind": resource.kind,
            "metadata": {"name": name, "uid": deployment.metadata.uid}, "spec": {"replicas": replicas}});
        self.metrics.api_writes.get_or_create(&("apply", kind).into()).inc();
        let params = PatchParams::apply(HANDOVER).force();
        let outcome: Result<Lean, _> =
            child_api(self.client, self.id, kind).patch(&name, &params, &Patch::Apply(patch)).await;
        outcome
            .map(|object| object.0)
            .map_err(|source| write_error("hand over the replicas of", kind, &name, source))
    }

    /// Deletes a StatefulSet without its pod, so that the next look makes it anew around it.
    async fn orphan(
        &self,
        role: Child,
        live: &DynamicObject,
        changes: &mut Vec<Change>,
    ) -> Result<DynamicObject, Error> {
        let params =
            DeleteParams { propagation_policy: Some(PropagationPolicy::Orphan), ..exactly(live.uid()) };
        self.delete(role, &params, "Recreating", changes).await?;
        Ok(live.clone())
    }

    /// Somebody has changed a key of a list, a port's number for example: apply then adds our entry beside theirs, which
    /// the API server refuses as a duplicate. A merge patch replaces lists as a whole; ports that the cluster has chosen
    /// are kept by their names. If it fails too, the apply after it tells why.
    async fn reset_lists(&self, api: &Api<Lean>, name: &str, wanted: &Body<'_>) {
        let Some(spec) = wanted.data.get("spec") else { return };
        let patch = json!({"metadata": {"uid": wanted.metadata.uid}, "spec": spec});
        let params = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
        if let Err(error) = api.patch(name, &params, &Patch::Merge(patch)).await {
            debug!(name, %error, "the lists could not be reset");
        }
    }

    /// Secrets are made by POST, which fails if one is there, and never written again: a password that is in use must
    /// survive two operators at once, stale reads and every bug but this function's. What server-side apply would add is
    /// in it from the start, so no second write is needed.
    async fn create_secret(
        &self,
        role: Child,
        wanted: &DynamicObject,
        changes: &mut Vec<Change>,
    ) -> Result<DynamicObject, Error> {
        let secret = fresh(self.id, role, wanted)?;
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

    async fn replace_pod(&self, pod: &Pod, changes: &mut Vec<Change>) -> Result<(), Error> {
        let name = pod.name_any();
        self.metrics.api_writes.get_or_create(&("delete", "Pod".to_owned()).into()).inc();
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &self.id.namespace);
        tolerate_gone(api.delete(&name, &exactly(pod.uid())).await.map(|_| ())).map_err(|source| {
            Error::Write { verb: "delete", kind: "Pod".into(), name: name.clone(), source: Box::new(source) }
        })?;
        changes.push(Change { reason: "Deleted", kind: "Pod".into(), name });
        Ok(())
    }
}

/// Whether the number of replicas is among the fields that we have applied.
fn owns_replicas(live: &DynamicObject) -> bool {
    let ours = live.managed_fields().iter().find(|entry| {
        entry.manager.as_deref() == Some(MANAGER) && entry.operation.as_deref() == Some("Apply")
    });
    ours.and_then(|entry| entry.fields_v1.as_ref())
        .is_some_and(|fields| fields.0.pointer("/f:spec/f:replicas").is_some())
}

/// Deletes this very object and not one that took its name since it was read.
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
