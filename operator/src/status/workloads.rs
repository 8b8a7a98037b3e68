//! How far Deployment and StatefulSet are, from the objects that the API server answered.

use flaskblog_api::Child;
use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    core::v1::Service,
};
use serde::de::DeserializeOwned;

use crate::{
    config::Settings,
    desired::{Applied, Objects},
    identity::Identity,
};

/// The blog's replicas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct App {
    /// As many as the spec asks for.
    pub wanted: i32,
    /// Those that exist, of whichever template.
    pub replicas: i32,
    /// Those that serve, of whichever template.
    pub ready: i32,
    /// At least so many of the current template serve.
    pub updated_ready: i32,
    /// All wanted replicas are of the current template and serve, and no other is left.
    pub complete: bool,
}

impl App {
    pub(super) fn of(applied: &Objects<Applied>, wanted: i32) -> Self {
        let Some(deployment) = typed::<Deployment>(applied, Child::App) else {
            return Self { wanted, ..Self::default() };
        };
        let status = deployment.status.clone().unwrap_or_default();
        // What the controller says of an older spec says nothing of this one.
        let current = status.observed_generation == deployment.metadata.generation;
        let count = |number: Option<i32>| number.unwrap_or(0);
        let (replicas, updated) = (count(status.replicas), count(status.updated_replicas));
        let (ready, available) = (count(status.ready_replicas), count(status.available_replicas));
        Self {
            wanted,
            replicas,
            ready,
            updated_ready: if current { (ready - (replicas - updated)).max(0) } else { 0 },
            complete: current && updated == wanted && replicas == wanted && available == wanted,
        }
    }
}

/// MySQL's pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Database {
    /// It accepts connections.
    pub ready: bool,
    /// It runs the current template.
    pub settled: bool,
}

impl Database {
    pub(super) fn of(applied: &Objects<Applied>) -> Self {
        let Some(statefulset) = typed::<StatefulSet>(applied, Child::Database) else {
            return Self::default();
        };
        let Some(status) = &statefulset.status else { return Self::default() };
        let current = status.observed_generation == statefulset.metadata.generation;
        let ready = current && status.ready_replicas == Some(1);
        // A pod of an older template is counted as ready until it is replaced. updatedReplicas leaves it out, and
        // currentRevision becomes updateRevision when the replacement is done.
        let updated = status.updated_replicas == Some(1) && status.current_revision == status.update_revision;
        Self { ready, settled: ready && updated }
    }
}

/// Where the blog answers, and the port on every node if there is one.
pub(super) fn url(
    applied: &Objects<Applied>,
    id: &Identity,
    settings: &Settings,
) -> (Option<String>, Option<i32>) {
    let Some(service) = typed::<Service>(applied, Child::AppService) else { return (None, None) };
    let spec = service.spec.unwrap_or_default();
    let Some(port) = spec.ports.as_ref().and_then(|ports| ports.first()) else { return (None, None) };
    let url = match spec.type_.as_deref() {
        Some("ClusterIP") => Some(format!("http://{}.{}.svc:{}", id.name, id.namespace, port.port)),
        Some("LoadBalancer") => service
            .status
            .and_then(|status| status.load_balancer?.ingress?.into_iter().next())
            .and_then(|ingress| ingress.hostname.or(ingress.ip))
            .map(|host| format!("http://{host}:{}", port.port)),
        _ => port.node_port.map(|node_port| format!("http://{}:{node_port}", settings.node_address)),
    };
    (url, port.node_port)
}

fn typed<T: DeserializeOwned>(applied: &Objects<Applied>, role: Child) -> Option<T> {
    serde_json::from_value(serde_json::to_value(applied.get(role)?).ok()?).ok()
}
