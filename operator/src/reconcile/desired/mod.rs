//! Step 3 (no client required): every object of a blog, complete and deterministic for a plan.

mod app_deployment;
mod app_service;
mod autoscaler;
mod credential_sync;
mod database_access;
mod database_service;
mod database_statefulset;
mod disruption_budget;
mod earlier_names;
mod ingress;
mod monitoring;
mod mysql_settings;
mod network_policies;
mod pods;
mod recommendation;
mod secrets;
mod service_account;

use std::{collections::BTreeMap, sync::Arc};

use flaskblog_api::{
    Child,
    children::{DESIRED_HASH, TEMPLATE_HASH, labels},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::DynamicObject;
use serde::Serialize;
use serde_json::{Value, json};

use crate::model::{
    blog_meta::BlogMeta,
    hash::hash_of,
    objects::{Desired, Objects},
    plan::Plan,
};

/// All objects of the plan. A role that is absent here is pruned.
#[must_use]
pub fn desired(plan: &Plan) -> Objects<Desired> {
    let mut by_role = BTreeMap::new();
    for role in Child::ALL {
        if let Some(body) = body(plan, role) {
            by_role.insert(role, Arc::new(stamped(plan, role, body)));
        }
    }
    Objects::desired(by_role)
}

fn body(plan: &Plan, role: Child) -> Option<Value> {
    Some(match role {
        Child::ServiceAccount => value(&service_account::service_account()),
        Child::SessionSecret => secrets::kept(),
        Child::DatabaseSecret => plan.database.managed().map(|_| secrets::kept())?,
        Child::DatabaseCertificates => plan.database.managed().map(|_| json!({}))?,
        Child::DatabaseService => value(&database_service::database_service(plan)?),
        Child::AppService => value(&app_service::app_service(plan)),
        Child::DatabasePolicy => value(&network_policies::database_policy(plan)?),
        Child::AppPolicy => value(&network_policies::app_policy(plan)?),
        Child::Database => value(&database_statefulset::database_statefulset(plan)?),
        Child::App => value(&app_deployment::app_deployment(plan)),
        Child::DisruptionBudget => value(&disruption_budget::disruption_budget(plan)?),
        Child::Autoscaler => value(&autoscaler::autoscaler(plan)?),
        Child::Ingress => value(&ingress::ingress(plan)?),
        Child::Dashboard => value(&monitoring::dashboard(plan)?),
        Child::Monitor => monitoring::monitor(plan)?,
        Child::Alerts => monitoring::alerts(plan)?,
        Child::Recommendation => recommendation::recommendation(plan)?,
    })
}

#[expect(clippy::expect_used, reason = "k8s-openapi's types always serialize: they have no fallible parts")]
fn value<T: Serialize>(object: &T) -> Value {
    serde_json::to_value(object).expect("a Kubernetes object serializes")
}

/// Adds the common parts of all children.
///
/// These are type, name, labels, owner reference and content hash.
fn stamped(plan: &Plan, role: Child, mut body: Value) -> DynamicObject {
    let extra_annotations = body["metadata"]["annotations"].take();
    let extra_labels: BTreeMap<String, String> =
        serde_json::from_value(body["metadata"]["labels"].take()).unwrap_or_default();
    let mut metadata = metadata(&plan.id, role);
    for (key, value) in extra_labels {
        metadata.labels.get_or_insert_default().entry(key).or_insert(value);
    }
    metadata.annotations = serde_json::from_value(extra_annotations).unwrap_or_default();
    if !role.outlives_the_blog() || plan.deletion_policy == flaskblog_api::DeletionPolicy::Delete {
        let controller = Some(role != Child::Database || !recommendation::is_wanted(plan));
        metadata.owner_references = Some(vec![OwnerReference { controller, ..plan.id.owner_reference() }]);
    }
    if let Value::Object(fields) = &mut body {
        for field in ["metadata", "apiVersion", "kind", "status"] {
            fields.remove(field);
        }
    }
    let mut object = DynamicObject::new(&role.name(&plan.id.name), &role.kind().api_resource()).data(body);
    object.metadata = metadata;
    restamped(object)
}

/// The object with the hashes of its content.
fn restamped(mut object: DynamicObject) -> DynamicObject {
    if let Some(annotations) = &mut object.metadata.annotations {
        annotations.remove(DESIRED_HASH);
    }
    if let Some(template) = object.data.pointer("/spec/template") {
        let hash = hash_of(template);
        object.metadata.annotations.get_or_insert_default().insert(TEMPLATE_HASH.into(), hash);
    }
    let hash = content_hash(&object);
    object.metadata.annotations.get_or_insert_default().insert(DESIRED_HASH.into(), hash);
    object
}

/// Name, namespace and labels of a child.
#[must_use]
pub fn metadata(id: &BlogMeta, role: Child) -> ObjectMeta {
    ObjectMeta {
        name: Some(role.name(&id.name)),
        namespace: Some(id.namespace.clone()),
        labels: Some(labels(&id.name, role.component())),
        ..ObjectMeta::default()
    }
}

/// First 16 hex digits of the SHA-256 of the object as JSON.
///
/// Maps are sorted, so equal content has an equal hash. The owner's uid is left out: a blog that adopts objects of an earlier
/// one changes only the owner reference.
fn content_hash(object: &DynamicObject) -> String {
    let mut metadata = object.metadata.clone();
    for owner in metadata.owner_references.iter_mut().flatten() {
        owner.uid.clear();
    }
    hash_of(&(&object.types, &metadata, &object.data))
}

pub use credential_sync::CREDENTIAL_SYNC_PROBE;
pub use earlier_names::desired_over;
pub use secrets::{SecretContent, new_secret, secret_content};

#[cfg(test)]
mod tests;
