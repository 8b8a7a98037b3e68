//! What keeps pods from running, in the kubelet's own words.

use flaskblog_api::{Child, conditions::reasons};
use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod};
use kube::ResourceExt;

use crate::{
    compare::runs_the_newest_template, database_pod::keeper_failure, observe::Observed, stuck::is_ready,
    validate::tag_of,
};

/// Longest message taken over from a pod, in characters.
const MESSAGE_LIMIT: usize = 400;

/// Longest part of it that is the end of a log; the rest names pod and container.
const LOG_LIMIT: usize = 280;

/// The app's init container.
const MIGRATE: &str = "migrate";

/// A pod that won't get well by waiting, or that has failed and is tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// `MigrationFailed` or `PodFailing`.
    pub reason: &'static str,
    /// Pod, container and what the kubelet says.
    pub message: String,
}

/// The first failure, the database's before the app's: the app can't be well without it.
pub(super) fn failure(observed: &Observed) -> Option<Failure> {
    let of_keeper = || {
        let message = keeper_failure(observed)?;
        Some(Failure { reason: reasons::CREDENTIALS_NOT_SYNCED, message })
    };
    observed.database_pod.iter().chain(&observed.app_pods).find_map(pod_failure).or_else(of_keeper)
}

fn pod_failure(pod: &Pod) -> Option<Failure> {
    let status = pod.status.as_ref()?;
    // An evicted pod was replaced by another one and stays only as a record.
    let over = matches!(status.phase.as_deref(), Some("Failed" | "Succeeded"));
    if over || pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let init = || status.init_container_statuses.iter().flatten();
    let failure = init().chain(status.container_statuses.iter().flatten()).find_map(failure_of);
    failure.or_else(|| init().find_map(failed_before)).or_else(|| unschedulable(pod)).map(|(reason, text)| {
        Failure { reason, message: format!("Pod {}: {}", pod.name_any(), shortened(&text)) }
    })
}

/// A container that waits for something that doesn't come, or that ended badly. An image that can't be pulled is no
/// failed migration; only a migration that has ended is.
fn failure_of(container: &ContainerStatus) -> Option<(&'static str, String)> {
    let ended = ended_badly(container);
    let state = container.state.as_ref()?;
    if let Some(waiting) = &state.waiting {
        let reason = waiting.reason.as_deref().unwrap_or_default();
        if matches!(reason, "" | "ContainerCreating" | "PodInitializing") {
            return None;
        }
        let end = container.last_state.as_ref().and_then(end_of);
        let why = end.clone().or_else(|| waiting.message.clone()).unwrap_or_default();
        let label = if end.is_some() { ended } else { reasons::POD_FAILING };
        return Some((label, format!("container {}: {reason}: {why}", container.name)));
    }
    let end = end_of(state)?;
    Some((ended, format!("container {} failed: {end}", container.name)))
}

/// An init container that is tried again has failed until it ends well: while it runs nothing is better than before.
fn failed_before(container: &ContainerStatus) -> Option<(&'static str, String)> {
    container.state.as_ref()?.running.as_ref()?;
    let end = container.last_state.as_ref().and_then(end_of)?;
    Some((ended_badly(container), format!("container {} failed: {end}", container.name)))
}

fn ended_badly(container: &ContainerStatus) -> &'static str {
    if container.name == MIGRATE { reasons::MIGRATION_FAILED } else { reasons::POD_FAILING }
}

/// Exit code and last words of a container that ended badly.
fn end_of(state: &ContainerState) -> Option<String> {
    let end = state.terminated.as_ref().filter(|end| end.exit_code != 0)?;
    let words = end.message.as_deref().or(end.reason.as_deref()).unwrap_or_default();
    Some(format!("exit code {}: {}", end.exit_code, last_words(words.trim())))
}

/// Of a log, what says why it ended: its errors, if lines are marked so as MySQL does, and of those the last ones.
fn last_words(log: &str) -> String {
    let errors: Vec<&str> = log.lines().filter(|line| line.contains("[ERROR]")).collect();
    let telling = if errors.is_empty() { log.to_owned() } else { errors.join("\n") };
    let surplus = telling.chars().count().saturating_sub(LOG_LIMIT);
    telling.chars().skip(surplus).collect()
}

fn unschedulable(pod: &Pod) -> Option<(&'static str, String)> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let scheduled = conditions.iter().find(|one| one.type_ == "PodScheduled" && one.status == "False")?;
    let why = scheduled.message.as_deref().unwrap_or_default();
    Some((reasons::POD_FAILING, format!("can't be scheduled: {why}")))
}

fn shortened(text: &str) -> String {
    text.chars().take(MESSAGE_LIMIT).collect()
}

/// The schema version that the newest successful migration reported as its termination message, `schema version N`.
pub(super) fn schema_version(observed: &Observed) -> Option<i64> {
    let mut pods: Vec<&Pod> = observed.app_pods.iter().collect();
    pods.sort_by_key(|pod| pod.metadata.creation_timestamp.as_ref().map(|time| time.0));
    pods.into_iter().rev().find_map(reported_version)
}

fn reported_version(pod: &Pod) -> Option<i64> {
    let containers = pod.status.as_ref()?.init_container_statuses.as_ref()?;
    let migrate = containers.iter().find(|container| container.name == MIGRATE)?;
    let end = migrate.state.as_ref()?.terminated.as_ref().filter(|end| end.exit_code == 0)?;
    end.message.as_deref()?.trim().strip_prefix("schema version ")?.parse().ok()
}

/// The version of MySQL that serves, as its image's tag tells it. Where the pod needed no look it is of the newest template.
pub(super) fn database_version(observed: &Observed) -> Option<String> {
    let Some(pod) = &observed.database_pod else {
        let statefulset =
            observed.children.get(&Child::Database).filter(|set| runs_the_newest_template(set))?;
        let containers = statefulset.data.pointer("/spec/template/spec/containers")?.as_array()?;
        let container = containers.iter().find(|container| container["name"] == "mysql")?;
        return tag_of(container["image"].as_str()?).map(str::to_owned);
    };
    let container =
        pod.spec.as_ref().filter(|_| is_ready(pod))?.containers.iter().find(|one| one.name == "mysql")?;
    tag_of(container.image.as_deref()?).map(str::to_owned)
}
