//! Progress of Deployment and StatefulSet, by the objects that the API server returned.

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
    /// Desired number.
    pub wanted: i32,
    /// Existing ones, of any template.
    pub replicas: i32,
    /// Ready ones, of any template.
    pub ready: i32,
    /// Lower bound of the ready ones of the current template.
    pub updated_ready: i32,
    /// Whether the rollout of the current template is complete.
    ///
    /// All desired replicas are ready, and no other is left.
    pub complete: bool,
}

impl App {
    /// `wanted` is `None` with an autoscaler.
    pub(super) fn of(applied: &Objects<Applied>, wanted: Option<i32>) -> Self {
        let Some(deployment) = applied.get(Child::App) else {
            return Self { wanted: wanted.unwrap_or(1), ..Self::default() };
        };
        let in_spec = || i32::try_from(deployment.data.pointer("/spec/replicas")?.as_i64()?).ok();
        // An autoscaler never scales to zero.
        let wanted = wanted.or_else(|| in_spec().map(|count| count.max(1))).unwrap_or(1);
        let status: DeploymentStatus = part(deployment, "status").unwrap_or_default();
        // The status of an older generation is stale.
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

/// Whether the database accepts connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DatabaseState {
    /// It does.
    Ready,
    /// It doesn't, or not yet.
    Away,
    /// It hasn't been tried.
    Unknown,
}

/// The managed MySQL, or an external one as the replicas report it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Database {
    /// Whether it accepts connections.
    pub state: DatabaseState,
    /// Whether it runs the current template.
    pub settled: bool,
    /// Reason for the conditions.
    pub reason: &'static str,
    /// Message for the conditions.
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

    /// Makes Ready depend on the replicas.
    ///
    /// They use their own login over their own connections.
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
        // Without a replica only MySQL's own probe is left. The state of an external server is unknown.
        let (state, reason) = match &done.plan.database {
            DatabasePlan::External(_) => (DatabaseState::Unknown, reasons::REPLICA_UNREACHABLE),
            DatabasePlan::Managed(_) => (self.state, self.reason),
        };
        Self { state, reason, message, ..self }
    }

    /// Whether no report contradicts that posts can be written and read.
    pub(super) fn is_usable(&self) -> bool {
        self.state == DatabaseState::Ready || self.reason == reasons::SCALED_TO_ZERO
    }

    /// The state of an external database.
    ///
    /// The operator never connects to a database, but a ready replica does.
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
        // The second container may make the pod unready, while clients still reach MySQL.
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

/// The blog's URL, and its node port if there is one.
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

/// Whether the Service still waits for the address of its load balancer.
pub(super) fn waits_for_address(applied: &Objects<Applied>) -> bool {
    let Some(service) = applied.get(Child::AppService) else { return false };
    let ingress = service.data.pointer("/status/loadBalancer/ingress").and_then(serde_json::Value::as_array);
    service.data["spec"]["type"] == "LoadBalancer" && ingress.is_none_or(Vec::is_empty)
}

/// Deserializes one field of an object. The whole object would take most of a report's time.
fn part<'a, T: Deserialize<'a>>(object: &'a DynamicObject, field: &str) -> Option<T> {
    T::deserialize(object.data.get(field)?).ok()
}
