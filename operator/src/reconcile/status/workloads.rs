//! How far Deployment and StatefulSet are, from the objects that the API server answered.

use flaskblog_api::{Child, Ingress, conditions::reasons};
use k8s_openapi::api::{
    apps::v1::{DeploymentStatus, StatefulSetStatus},
    core::v1::{ServiceSpec, ServiceStatus},
};
use kube::api::DynamicObject;
use serde::Deserialize;

use super::{
    Reconciled,
    failures::{MIGRATE, unusable_database},
};
use crate::{
    cache::replica_health::ADMIN_PORT,
    model::{
        blog_meta::BlogMeta,
        kubectl::{describe_network_policies, edit_blog, logs},
        objects::{Applied, Objects},
        observed::ReplicaReport,
        plan::DatabasePlan,
        semantic_eq::runs_the_newest_template,
        settings::Settings,
    },
    reconcile::observe::database_pod::mysql_serves,
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
    /// `wanted` is nothing where an autoscaler says how many.
    pub(super) fn of(applied: &Objects<Applied>, wanted: Option<i32>) -> Self {
        let Some(deployment) = applied.get(Child::App) else {
            return Self { wanted: wanted.unwrap_or(1), ..Self::default() };
        };
        let in_spec = || i32::try_from(deployment.data.pointer("/spec/replicas")?.as_i64()?).ok();
        // An autoscaler never wants none.
        let wanted = wanted.or_else(|| in_spec().map(|count| count.max(1))).unwrap_or(1);
        let status: DeploymentStatus = part(deployment, "status").unwrap_or_default();
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

/// Whether the database answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DatabaseState {
    /// It does.
    Ready,
    /// It doesn't, or not yet.
    Away,
    /// Nobody has tried.
    Unknown,
}

/// The blog's own MySQL, or what its replicas found out about somebody else's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Database {
    /// Whether it answers.
    pub state: DatabaseState,
    /// It runs the current template.
    pub settled: bool,
    /// Reason for the conditions.
    pub reason: &'static str,
    /// Words for the conditions.
    pub message: String,
}

impl Database {
    pub(super) fn of(done: &Reconciled, app: &App) -> Self {
        let server = match &done.plan.database {
            DatabasePlan::External(server) => {
                Self::external(&done.plan.id, &format!("{}:{}", server.host, server.port), app)
            }
            DatabasePlan::Managed(managed) => Self::managed(done, managed.replicas),
        };
        server.confirmed_by_replicas(done)
    }

    /// A server is ready only if the replicas can use it, with their own login over their own connections.
    fn confirmed_by_replicas(self, done: &Reconciled) -> Self {
        if self.state != DatabaseState::Ready {
            return self;
        }
        let id = &done.plan.id;
        if let Some(message) = unusable_database(id, &done.observed) {
            let (state, reason) = (DatabaseState::Away, reasons::DATABASE_UNUSABLE);
            return Self { state, reason, message, ..self };
        }
        let Some(ReplicaReport::Unreachable { pod, cause }) = &done.observed.replica_report else {
            return self;
        };
        let message = format!(
            "{}, but the operator can't ask the replicas (pod {pod}: {cause}): allow it to reach their port {ADMIN_PORT}; \
             policies in this namespace: {}",
            self.message,
            describe_network_policies(id),
        );
        // MySQL's own probe is what is left; of a server elsewhere nothing is known.
        let (state, reason) = match &done.plan.database {
            DatabasePlan::External(_) => (DatabaseState::Unknown, reasons::REPLICA_UNREACHABLE),
            DatabasePlan::Managed(_) => (self.state, self.reason),
        };
        Self { state, reason, message, ..self }
    }

    /// Whether nothing is known against posts being written and read.
    pub(super) fn is_usable(&self) -> bool {
        self.state == DatabaseState::Ready || self.reason == reasons::SCALED_TO_ZERO
    }

    /// The operator never connects to a database: a replica that serves has.
    fn external(id: &BlogMeta, server: &str, app: &App) -> Self {
        let (state, reason, message) = match (app.ready, app.wanted) {
            (0, 0) => (
                DatabaseState::Unknown,
                reasons::SCALED_TO_ZERO,
                format!("no replica is there to try {server}"),
            ),
            (0, _) => (
                DatabaseState::Away,
                reasons::DATABASE_UNREACHABLE,
                format!(
                    "no replica has reached {server} yet; the migration's log names the cause: {}; to change host, port or TLS: {}",
                    logs(id, &format!("deployment/{}", Child::App.name(&id.name)), MIGRATE),
                    edit_blog(id),
                ),
            ),
            _ => (DatabaseState::Ready, reasons::AVAILABLE, format!("the replicas reach {server}")),
        };
        Self { state, settled: true, reason, message }
    }

    fn managed(done: &Reconciled, wanted: i32) -> Self {
        let (mut ready, mut settled) = progress(&done.applied, wanted);
        // Its second container may keep the pod from being ready, but no client from MySQL.
        if wanted > 0 && mysql_serves(&done.observed) {
            (ready, settled) = (true, true);
        }
        if wanted == 0 {
            let message = "MySQL sleeps, its data is kept".into();
            return Self { state: DatabaseState::Away, settled, reason: reasons::HIBERNATED, message };
        }
        if ready {
            let message = "MySQL accepts connections".into();
            return Self { state: DatabaseState::Ready, settled, reason: reasons::AVAILABLE, message };
        }
        let message = "MySQL doesn't accept connections yet".into();
        Self { state: DatabaseState::Away, settled, reason: reasons::DATABASE_STARTING, message }
    }
}

/// Whether MySQL's pod accepts connections, and whether it runs the current template.
fn progress(applied: &Objects<Applied>, wanted: i32) -> (bool, bool) {
    let Some(statefulset) = applied.get(Child::Database) else { return (false, false) };
    let Some(status) = part::<StatefulSetStatus>(statefulset, "status") else { return (false, false) };
    let current = status.observed_generation == statefulset.metadata.generation;
    if wanted == 0 {
        return (false, current && status.replicas == 0);
    }
    let ready = current && status.ready_replicas == Some(1);
    (ready, runs_the_newest_template(statefulset))
}

/// Where the blog answers, and the port on every node if there is one.
pub(super) fn url(done: &Reconciled, id: &BlogMeta, settings: &Settings) -> (Option<String>, Option<i32>) {
    let Some(service) = done.applied.get(Child::AppService) else { return (None, None) };
    let spec: ServiceSpec = part(service, "spec").unwrap_or_default();
    let Some(port) = spec.ports.as_ref().and_then(|ports| ports.first()) else { return (None, None) };
    let url = match spec.type_.as_deref() {
        Some("ClusterIP") => Some(format!("http://{}.{}.svc:{}", id.name, id.namespace, port.port)),
        Some("LoadBalancer") => part::<ServiceStatus>(service, "status")
            .and_then(|status| status.load_balancer?.ingress?.into_iter().next())
            .and_then(|ingress| ingress.hostname.or(ingress.ip))
            .map(|host| format!("http://{host}:{}", port.port)),
        _ => port.node_port.map(|node_port| format!("http://{}:{node_port}", settings.node_address)),
    };
    let by_name = done.plan.app.ingress.as_ref().map(Ingress::url);
    (by_name.or(url), port.node_port)
}

/// Whether the Service asks for a load balancer that has given it no address.
pub(super) fn waits_for_address(applied: &Objects<Applied>) -> bool {
    let Some(service) = applied.get(Child::AppService) else { return false };
    let ingress = service.data.pointer("/status/loadBalancer/ingress").and_then(serde_json::Value::as_array);
    service.data["spec"]["type"] == "LoadBalancer" && ingress.is_none_or(Vec::is_empty)
}

/// One field of an object. The whole of it would be the larger part of a report's cost.
fn part<'a, T: Deserialize<'a>>(object: &'a DynamicObject, field: &str) -> Option<T> {
    T::deserialize(object.data.get(field)?).ok()
}
