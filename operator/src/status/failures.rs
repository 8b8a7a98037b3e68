//! What keeps pods from running, in the kubelet's own words.

use flaskblog_api::{Child, conditions::reasons};
use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod};
use kube::ResourceExt;

use crate::{
    compare::runs_the_newest_template,
    database_pod::{keeper_failure, mysql_serves},
    desired::MYSQL_CONTAINER,
    observe::Observed,
    pod_warnings::PodWarning,
    replica_health::ReplicaReport,
    stuck::is_ready,
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
    let database = || observed.database_pod.as_ref().and_then(pod_failure);
    let warning = |role| observed.pod_warnings.iter().find(|one| one.role == role).map(of_warning);
    let app = || observed.app_pods.iter().filter_map(pod_failure).find(|found| is_cause(observed, found));
    database()
        .or_else(|| warning(Child::Database))
        .or_else(|| refused_replicas(observed))
        .or_else(app)
        .or_else(|| warning(Child::App))
        .or_else(|| replica_failure(observed))
        .or_else(|| credentials_failure(observed))
        .or_else(|| session_keys_failure(observed))
}

/// The replicas serve with the keys that they read before; their next start fails.
fn session_keys_failure(observed: &Observed) -> Option<Failure> {
    let Some(ReplicaReport::Good { warning: Some((pod, cause)), .. }) = &observed.replica_report else {
        return None;
    };
    let deployment = observed.children.get(&Child::App)?;
    let (name, namespace) = (deployment.name_any(), deployment.namespace().unwrap_or_default());
    let secret = Child::SessionSecret.name(&name);
    let message = format!(
        "Pod {pod} can't read the new session keys and serves with the ones before, until it is restarted: {cause}. \
         To generate new keys, which ends all sessions: kubectl delete secret {secret} -n {namespace}; a kubelet reads an \
         immutable Secret only once, so after one: kubectl rollout restart deployment {name} -n {namespace}"
    );
    Some(Failure { reason: reasons::SESSION_KEYS_UNREADABLE, message })
}

/// The credential container fails; MySQL itself serves.
fn credentials_failure(observed: &Observed) -> Option<Failure> {
    let message = keeper_failure(observed)?;
    Some(Failure { reason: reasons::CREDENTIALS_NOT_SYNCED, message })
}

/// A migration fails while MySQL isn't there: that is the cause then.
fn is_cause(observed: &Observed, failure: &Failure) -> bool {
    failure.reason != reasons::MIGRATION_FAILED || accepts_connections(observed)
}

/// Whether the blog's own MySQL answers; true for a database of others.
fn accepts_connections(observed: &Observed) -> bool {
    let set = observed.children.get(&Child::Database);
    set.is_none_or(|set| set.data["status"]["readyReplicas"].as_i64().unwrap_or(0) > 0)
        || mysql_serves(observed)
}

fn of_warning(warning: &PodWarning) -> Failure {
    let reason = if warning.is_refused { reasons::PODS_REFUSED } else { reasons::POD_FAILING };
    Failure { reason, message: format!("{}: {}", warning.object, shortened(&warning.message)) }
}

/// Pods that the API server refuses, in the words of the Deployment's own condition.
fn refused_replicas(observed: &Observed) -> Option<Failure> {
    let deployment = observed.children.get(&Child::App)?;
    let conditions = deployment.data["status"]["conditions"].as_array()?;
    let refused = conditions.iter().find(|one| one["type"] == "ReplicaFailure" && one["status"] == "True")?;
    let message = shortened(refused["message"].as_str().unwrap_or_default());
    let message = format!("Deployment {}: {message}", deployment.name_any());
    Some(Failure { reason: reasons::PODS_REFUSED, message })
}

/// What a replica reports, while MySQL itself accepts connections: otherwise that is the cause.
fn replica_failure(observed: &Observed) -> Option<Failure> {
    let Some(ReplicaReport::Failing { pod, cause, .. }) = &observed.replica_report else { return None };
    let message =
        format!("Pod {pod} can't use the database: {cause}; see docs/conditions.md, DatabaseUnusable");
    accepts_connections(observed).then_some(Failure { reason: reasons::DATABASE_UNUSABLE, message })
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
        return Some((label, format!("container {}: {reason}: {why}{}", container.name, remedy(container))));
    }
    let end = end_of(state).or_else(|| out_of_memory(container))?;
    Some((ended, format!("container {} failed: {end}{}", container.name, remedy(container))))
}

/// A container that was killed for its memory and isn't ready since: it is killed again.
fn out_of_memory(container: &ContainerStatus) -> Option<String> {
    (!container.ready && was_out_of_memory(container))
        .then(|| end_of(container.last_state.as_ref()?))
        .flatten()
}

fn was_out_of_memory(container: &ContainerStatus) -> bool {
    let states = container.state.iter().chain(&container.last_state);
    states.filter_map(|state| state.terminated.as_ref()).any(|end| end.reason.as_deref() == Some("OOMKilled"))
}

fn remedy(container: &ContainerStatus) -> &'static str {
    match container.name.as_str() {
        _ if !was_out_of_memory(container) => "",
        MYSQL_CONTAINER | "prepare" => "; raise spec.database.managed.resources.limits.memory",
        _ => "; raise spec.resources.limits.memory",
    }
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
    let is_killed = end.reason.as_deref() == Some("OOMKilled");
    let words = end.message.as_deref().filter(|_| !is_killed).or(end.reason.as_deref()).unwrap_or_default();
    Some(format!("exit code {}: {}", end.exit_code, last_words(words)))
}

/// The lines of a log that name why it ended: those marked as errors, else lines for people, else all; of those the last ones.
fn last_words(log: &str) -> String {
    let lines: Vec<&str> = log.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let marked = |line: &&str| line.contains("[ERROR]");
    // A structured line is for machines, and the first one of a cut log lacks its beginning.
    let plain = |line: &&str| !(line.starts_with('{') || line.ends_with('}'));
    let of =
        |kind: &dyn Fn(&&str) -> bool| lines.iter().copied().filter(|line| kind(line)).collect::<Vec<_>>();
    let telling = [of(&marked), of(&plain), lines.clone()].into_iter().find(|some| !some.is_empty());
    whole_lines(&telling.unwrap_or_default())
}

/// As many of the last lines as fit.
fn whole_lines(lines: &[&str]) -> String {
    let mut kept: Vec<String> = Vec::new();
    let mut left = LOG_LIMIT;
    for line in lines.iter().rev() {
        let length = line.chars().count();
        if length > left {
            if kept.is_empty() {
                kept.push(end_from_word(line, LOG_LIMIT));
            }
            break;
        }
        left -= length;
        kept.push((*line).to_owned());
    }
    kept.reverse();
    kept.join("; ")
}

/// The beginning of a text, up to the end of a word.
fn cut_at_word(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    let beginning: String = text.chars().take(limit).collect();
    let whole = beginning.rsplit_once(char::is_whitespace).map_or(beginning.as_str(), |(words, _)| words);
    format!("{whole} …")
}

/// The end of a text, from the beginning of a word.
fn end_from_word(text: &str, limit: usize) -> String {
    let surplus = text.chars().count().saturating_sub(limit);
    let end: String = text.chars().skip(surplus).collect();
    let whole = end.split_once(char::is_whitespace).map_or(end.as_str(), |(_, words)| words);
    format!("… {whole}")
}

fn unschedulable(pod: &Pod) -> Option<(&'static str, String)> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let scheduled = conditions.iter().find(|one| one.type_ == "PodScheduled" && one.status == "False")?;
    let why = scheduled.message.as_deref().unwrap_or_default();
    Some((reasons::POD_FAILING, format!("can't be scheduled: {why}")))
}

fn shortened(text: &str) -> String {
    cut_at_word(text.trim(), MESSAGE_LIMIT)
}

/// The schema version that a replica finds in the database, or else the newest migration left there.
pub(super) fn schema_version(observed: &Observed) -> Option<i64> {
    match &observed.replica_report {
        Some(
            ReplicaReport::Good { schema: Some(found), .. }
            | ReplicaReport::Failing { schema: Some(found), .. },
        ) => Some(*found),
        _ => migrated_version(observed),
    }
}

/// The schema version that the newest successful migration reported as its termination message, `schema version N`.
fn migrated_version(observed: &Observed) -> Option<i64> {
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
