//! The Deployment's replicas while their manager changes or while nothing else of the Deployment may change.

use flaskblog_api::{Child, children::MANAGER};
use kube::{
    ResourceExt,
    api::{DynamicObject, Patch, PatchParams},
};
use serde_json::json;

use super::{Change, Writer, write_error};
use crate::{
    cache::wire_format::ObjectWithoutManagedFields,
    k8s::api::child_api,
    model::{
        error::Error,
        objects::{Desired, Objects},
    },
};

/// Field manager that holds the number of replicas meanwhile.
const HANDOVER: &str = "flaskblog-operator-replicas";

/// The autoscaler's bounds.
pub(super) fn bounds(desired: &Objects<Desired>) -> (i64, i64) {
    let autoscaler = desired.get(Child::Autoscaler);
    let bound = |path: &str| autoscaler.and_then(|object| object.data.pointer(path)?.as_i64()).unwrap_or(1);
    (bound("/spec/minReplicas"), bound("/spec/maxReplicas"))
}

impl Writer<'_> {
    /// Applies the Deployment and releases its number of replicas to the autoscaler.
    ///
    /// Without the field in the apply, the API server would set its default of 1. So another field manager gets the present
    /// number first, and the autoscaler takes it over with its first change
    /// (<https://kubernetes.io/docs/reference/using-api/server-side-apply/#transferring-ownership>).
    pub(super) async fn write_without_replicas(
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
        // An autoscaler ignores a Deployment with 0 replicas, so it starts at the lower bound.
        if present == 0 || owns_replicas(&self.read(Child::App).await?) {
            self.hand_over(live, present.clamp(fewest, most.max(fewest))).await?;
        }
        self.write(Child::App, wanted, Some(live), changes).await
    }

    /// Scales a Deployment that waits for approval, which restarts nothing.
    ///
    /// It uses the other field manager, since an apply of the operator's own with only this field would remove all others.
    pub(super) async fn scale_alone(
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

    /// Reads the object with its managed fields.
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
        let outcome: Result<ObjectWithoutManagedFields, _> =
            child_api(self.client, self.id, kind).patch(&name, &params, &Patch::Apply(patch)).await;
        outcome
            .map(|object| object.0)
            .map_err(|source| write_error("hand over the replicas of", kind, &name, source))
    }
}

/// Whether the operator has applied the number of replicas.
fn owns_replicas(live: &DynamicObject) -> bool {
    let ours = live.managed_fields().iter().find(|entry| {
        entry.manager.as_deref() == Some(MANAGER) && entry.operation.as_deref() == Some("Apply")
    });
    ours.and_then(|entry| entry.fields_v1.as_ref())
        .is_some_and(|fields| fields.0.pointer("/f:spec/f:replicas").is_some())
}
