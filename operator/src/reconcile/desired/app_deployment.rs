use flaskblog_api::{
    Child, Markup, Registration,
    children::{Component, DEFAULT_IMAGE},
};
use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment},
        core::v1::{
            Container, ContainerPort, HTTPGetAction, PodSpec, PodTemplateSpec, Probe, ResourceRequirements,
            SecretVolumeSource, Toleration, TopologySpreadConstraint, Volume,
        },
    },
    apimachinery::pkg::{apis::meta::v1::ObjectMeta, util::intstr::IntOrString},
};

use super::{
    database_access,
    pods::{env, literal, pod_selector, read_only, resources, restricted, restricted_pod, template_metadata},
};
use crate::model::{
    containers::{APP_CONTAINER, SESSION_KEYS},
    plan::Plan,
};

/// Name of the volume.
const SESSION: &str = "session";

/// The uid of the image, numeric so that `runAsNonRoot` can be checked.
const USER: i64 = 65532;
/// Seconds after which a rollout without progress counts as failed.
///
/// Migrations count as progress only when done.
const PROGRESS_DEADLINE_SECONDS: i32 = 600;
/// How long a stopping replica still accepts requests.
///
/// On a busy node kube-proxy takes seconds to remove its endpoint everywhere.
const DRAIN_SECONDS: &str = "10";
/// Longer than the blog's own shutdown.
///
/// It adds up the drain, 20 s of late connections, 20 s for requests in flight, 2 s for the database, and a margin.
const TERMINATION_SECONDS: i64 = 60;

/// The blog's Deployment: a migration as init container, then the server.
///
/// No old replica stops before a new one serves.
pub(super) fn app_deployment(plan: &Plan) -> Deployment {
    Deployment {
        metadata: ObjectMeta {
            annotations: plan
                .app
                .default_image
                .clone()
                .map(|image| [(DEFAULT_IMAGE.to_owned(), image)].into()),
            ..ObjectMeta::default()
        },
        spec: Some(DeploymentSpec {
            replicas: plan.app.replicas,
            // A paused Deployment would never roll out, and its status doesn't report it.
            paused: Some(false),
            selector: pod_selector(plan, Component::App),
            revision_history_limit: Some(3),
            progress_deadline_seconds: Some(PROGRESS_DEADLINE_SECONDS),
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".into()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_surge: Some(IntOrString::Int(1)),
                    max_unavailable: Some(IntOrString::Int(0)),
                }),
            }),
            template: PodTemplateSpec { metadata: Some(pod_metadata(plan)), spec: Some(pod_spec(plan)) },
            ..DeploymentSpec::default()
        }),
        ..Deployment::default()
    }
}

/// The user's labels and annotations, overridden by the operator's.
fn pod_metadata(plan: &Plan) -> ObjectMeta {
    let mut metadata = template_metadata(plan, Component::App);
    let mut labels = plan.app.pod_template.labels.clone();
    labels.extend(metadata.labels.take().unwrap_or_default());
    let mut annotations = plan.app.pod_template.annotations.clone();
    annotations.extend(plan.app.rotations.clone());
    ObjectMeta {
        labels: Some(labels),
        annotations: (!annotations.is_empty()).then_some(annotations),
        ..metadata
    }
}

fn pod_spec(plan: &Plan) -> PodSpec {
    let wanted = &plan.app.pod_template;
    PodSpec {
        node_selector: (!wanted.node_selector.is_empty()).then(|| wanted.node_selector.clone()),
        tolerations: (!wanted.tolerations.is_empty())
            .then(|| wanted.tolerations.iter().map(toleration).collect()),
        affinity: wanted.affinity.clone(),
        topology_spread_constraints: Some(vec![TopologySpreadConstraint {
            max_skew: 1,
            topology_key: "kubernetes.io/hostname".into(),
            when_unsatisfiable: "ScheduleAnyway".into(),
            label_selector: Some(pod_selector(plan, Component::App)),
            ..TopologySpreadConstraint::default()
        }]),
        init_containers: Some(vec![migrate_container(plan)]),
        containers: vec![serve_container(plan)],
        volumes: Some(vec![database_access::volume(plan), session_volume(plan)]),
        ..restricted_pod(plan, USER, TERMINATION_SECONDS)
    }
}

fn migrate_container(plan: &Plan) -> Container {
    let mut variables = database_access::variables(plan);
    // A wrong host is reported soon. The managed MySQL starts at the same time, so the blog waits for it.
    if plan.database.managed().is_none() {
        variables.push(env("BLOG_MIGRATE_PATIENCE", "20"));
    }
    Container {
        name: "migrate".into(),
        image: Some(plan.app.image.clone()),
        image_pull_policy: Some(plan.app.image_pull_policy.as_str().into()),
        args: Some(vec!["migrate".into()]),
        env: Some(variables),
        resources: Some(app_resources(plan)),
        security_context: Some(restricted()),
        volume_mounts: Some(vec![database_access::mount()]),
        // The blog's status shows the reported schema version, or the end of the log after a failure.
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        ..Container::default()
    }
}

fn serve_container(plan: &Plan) -> Container {
    let mut variables = database_access::variables(plan);
    variables.extend([
        env("BLOG_TITLE", literal(&plan.app.title)),
        env("BLOG_DRAIN_SECONDS", DRAIN_SECONDS),
        env("BLOG_SESSION_KEY_FILE", format!("{SESSION_KEYS}/current")),
        env("BLOG_SESSION_PREVIOUS_KEY_FILE", format!("{SESSION_KEYS}/previous")),
    ]);
    // The blog doesn't trust the forwarded scheme of an ingress controller unless configured to.
    if let Some(ingress) = plan.app.ingress.as_ref().filter(|ingress| !ingress.host.starts_with("*.")) {
        variables.push(env("BLOG_ADDRESS", ingress.url()));
    }
    // The blog's own defaults aren't repeated.
    if plan.app.registration == Registration::Closed {
        variables.push(env("BLOG_REGISTRATION", "closed"));
    }
    if plan.app.markup == Markup::Markdown {
        variables.push(env("BLOG_MARKUP", "markdown"));
    }
    Container {
        name: APP_CONTAINER.into(),
        image: Some(plan.app.image.clone()),
        image_pull_policy: Some(plan.app.image_pull_policy.as_str().into()),
        args: Some(vec!["serve".into()]),
        env: Some(variables),
        ports: Some(vec![port("http", 5000), port("admin", 9090)]),
        resources: Some(app_resources(plan)),
        security_context: Some(restricted()),
        volume_mounts: Some(vec![database_access::mount(), read_only(SESSION, SESSION_KEYS)]),
        startup_probe: Some(probe("/healthz", 1, 60)),
        // Not /readyz, which follows the database: during an outage every replica would leave the Service, and readers would
        // get a refused connection instead of the error page. A new replica is still checked before it gets traffic.
        readiness_probe: Some(probe("/serving", 2, 2)),
        // Never the database's state: restarting the blog doesn't repair a database.
        liveness_probe: Some(probe("/healthz", 10, 3)),
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        ..Container::default()
    }
}

/// The replicas' resources. Two concurrent Argon2 computations take 38 MiB, the rest is headroom.
fn app_resources(plan: &Plan) -> ResourceRequirements {
    resources(plan.app.resources.as_ref(), &[("cpu", "25m"), ("memory", "64Mi")], &[("memory", "256Mi")])
}

fn session_volume(plan: &Plan) -> Volume {
    Volume {
        name: SESSION.into(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(Child::SessionSecret.name(&plan.id.name)),
            default_mode: Some(0o440),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    }
}

fn toleration(wanted: &flaskblog_api::v1alpha1::Toleration) -> Toleration {
    use flaskblog_api::v1alpha1::{TaintEffect, TolerationOperator};
    let operator = wanted.operator.map(|operator| match operator {
        TolerationOperator::Equal => "Equal",
        TolerationOperator::Exists => "Exists",
    });
    let effect = wanted.effect.map(|effect| match effect {
        TaintEffect::NoSchedule => "NoSchedule",
        TaintEffect::PreferNoSchedule => "PreferNoSchedule",
        TaintEffect::NoExecute => "NoExecute",
    });
    Toleration {
        key: wanted.key.clone(),
        operator: operator.map(Into::into),
        value: wanted.value.clone(),
        effect: effect.map(Into::into),
        toleration_seconds: wanted.toleration_seconds,
    }
}

fn port(name: &str, number: i32) -> ContainerPort {
    ContainerPort {
        name: Some(name.into()),
        container_port: number,
        protocol: Some("TCP".into()),
        ..ContainerPort::default()
    }
}

fn probe(path: &str, period_seconds: i32, failures: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.into()),
            port: IntOrString::String("admin".into()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period_seconds),
        timeout_seconds: Some(3),
        failure_threshold: Some(failures),
        ..Probe::default()
    }
}
