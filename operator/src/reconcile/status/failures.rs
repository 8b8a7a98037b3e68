//! Causes of failing pods, as the kubelet reports them.

use flaskblog_api::{Child, children::database_pod, conditions::reasons};
use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod};
use kube::ResourceExt;

use crate::{
    model::{
        blog_meta::BlogMeta,
        containers::{APP_CONTAINER, MYSQL_CONTAINER, SESSION_KEYS},
        kubectl::{
            delete_secret, describe_claim, describe_limits, describe_pod, edit_blog, hibernate_and_wake,
            logs, restart_replicas,
        },
        observed::{Observed, PodWarning, ReplicaReport},
        pod::is_ready,
        semantic_eq::runs_the_newest_template,
    },
    reconcile::{
        observe::database_pod::{credential_sync_failure, mysql_serves},
        validate::tag_of,
    },
};

/// Longest quoted message of a pod, in characters.
const MESSAGE_LIMIT: usize = 400;

/// Longest quoted end of a log. The rest of the message names pod and container.
const LOG_LIMIT: usize = 280;

/// The app's init container.
pub(super) const MIGRATE: &str = "migrate";

/// A pod that doesn't recover by waiting, or that is retried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// `MigrationFailed` or `PodFailing`.
    pub reason: &'static str,
    /// Pod, container and the kubelet's message.
    pub message: String,
}

/// The first failure, the database's before the app's.
///
/// The app depends on the database.
pub(super) fn failure(id: &BlogMeta, observed: &Observed) -> Option<Failure> {
    let of_pod = |pod| pod_failure(id, pod);
    let database = || observed.database_pod.as_ref().and_then(of_pod);
    let warning =
        |role| observed.pod_warnings.iter().find(|one| one.role == role).map(|one| of_warning(id, one));
    let app = || observed.app_pods.iter().filter_map(of_pod).find(|found| is_cause(observed, found));
    database()
        .or_else(|| warning(Child::Database))
        .or_else(|| refused_replicas(id, observed))
        .or_else(app)
        .or_else(|| warning(Child::App))
        .or_else(|| replica_failure(id, observed))
        .or_else(|| credentials_failure(observed))
        .or_else(|| session_keys_failure(id, observed))
}

/// The failure to read new session keys.
///
/// Running replicas use the old keys, and their next start fails.
fn session_keys_failure(id: &BlogMeta, observed: &Observed) -> Option<Failure> {
    let Some(ReplicaReport::Good { warning: Some((pod, cause)), .. }) = &observed.replica_report else {
        return None;
    };
    let message = format!(
        "Pod {pod} can't read the new session keys and serves with the ones before, until it is restarted: {cause}; {}",
        session_keys_advice(id)
    );
    Some(Failure { reason: reasons::SESSION_KEYS_UNREADABLE, message })
}

/// The command for unusable session keys.
///
/// A kubelet caches an immutable Secret while any pod of its node uses it, so a rollout beside old pods doesn't help.
fn session_keys_advice(id: &BlogMeta) -> String {
    format!(
        "to generate new keys, which ends all sessions: {}; a kubelet keeps an immutable Secret until all pods of its node \
         that use it are gone: {}",
        delete_secret(id, Child::SessionSecret),
        hibernate_and_wake(id)
    )
}

/// The failure of the credential container, while MySQL itself serves.
fn credentials_failure(observed: &Observed) -> Option<Failure> {
    let message = credential_sync_failure(observed)?;
    Some(Failure { reason: reasons::CREDENTIALS_NOT_SYNCED, message })
}

/// Whether a failure is the cause itself. An unavailable MySQL makes migrations fail.
fn is_cause(observed: &Observed, failure: &Failure) -> bool {
    failure.reason != reasons::MIGRATION_FAILED || accepts_connections(observed)
}

/// Whether the managed MySQL accepts connections. Always true for an external database.
fn accepts_connections(observed: &Observed) -> bool {
    let set = observed.children.get(&Child::Database);
    set.is_none_or(|set| set.data["status"]["readyReplicas"].as_i64().unwrap_or(0) > 0)
        || mysql_serves(observed)
}

fn of_warning(id: &BlogMeta, warning: &PodWarning) -> Failure {
    let (object, cause) = (&warning.object, shortened(&warning.message));
    if warning.is_refused {
        return refused(id, object, &cause);
    }
    let pod = object.trim_start_matches("Pod ");
    let message = format!("{object}: {cause}; its Events: {}", describe_pod(id, pod));
    Failure { reason: reasons::POD_FAILING, message }
}

/// The failure of a refused pod, with the field to change.
///
/// Smaller requests fit a quota or limit, and other fields satisfy a policy.
fn refused(id: &BlogMeta, object: &str, cause: &str) -> Failure {
    let is_limit = ["quota", "usage per", "limit to request ratio"].iter().any(|words| cause.contains(words));
    let limits = if is_limit { format!("what is allowed: {}; ", describe_limits(id)) } else { String::new() };
    let message = format!("{object}: {cause}; {limits}to change what the pods ask for: {}", edit_blog(id));
    Failure { reason: reasons::PODS_REFUSED, message }
}

/// Pods that the API server refuses, by the Deployment's condition.
fn refused_replicas(id: &BlogMeta, observed: &Observed) -> Option<Failure> {
    let deployment = observed.children.get(&Child::App)?;
    let conditions = deployment.data["status"]["conditions"].as_array()?;
    let failed = conditions.iter().find(|one| one["type"] == "ReplicaFailure" && one["status"] == "True")?;
    let cause = shortened(failed["message"].as_str().unwrap_or_default());
    Some(refused(id, &format!("Deployment {}", deployment.name_any()), &cause))
}

/// A replica's report while MySQL accepts connections. Otherwise MySQL is the cause.
fn replica_failure(id: &BlogMeta, observed: &Observed) -> Option<Failure> {
    let message = unusable_database(id, observed)?;
    accepts_connections(observed).then_some(Failure { reason: reasons::DATABASE_UNUSABLE, message })
}

/// The cause that a replica reports, with the next command.
pub(super) fn unusable_database(id: &BlogMeta, observed: &Observed) -> Option<String> {
    let Some(ReplicaReport::Failing { pod, cause, schema }) = &observed.replica_report else { return None };
    let is_managed = observed.children.contains_key(&Child::Database);
    let next = match schema {
        Some(_) => format!("after a restored backup, this runs the migration: {}", restart_replicas(id)),
        None if is_managed => format!("MySQL's log: {}", logs(id, &database_pod(&id.name), MYSQL_CONTAINER)),
        None => format!("its log: {}", logs(id, pod, APP_CONTAINER)),
    };
    Some(format!("Pod {pod} can't use the database: {cause}; {next}"))
}

fn pod_failure(id: &BlogMeta, pod: &Pod) -> Option<Failure> {
    let status = pod.status.as_ref()?;
    // An evicted pod has been replaced and stays only as a record.
    let over = matches!(status.phase.as_deref(), Some("Failed" | "Succeeded"));
    if over || pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let name = pod.name_any();
    let init = || status.init_container_statuses.iter().flatten();
    let found =
        init().chain(status.container_statuses.iter().flatten()).find_map(|one| failure_of(id, &name, one));
    let found = found
        .or_else(|| init().find_map(|one| failed_before(id, &name, one)))
        .or_else(|| unschedulable(id, pod));
    found.map(|Cause { reason, text, next }| Failure {
        reason,
        message: format!("Pod {name}: {}; {next}", shortened(&text)),
    })
}

/// The cause of a failing pod, with the next command.
struct Cause {
    reason: &'static str,
    text: String,
    next: String,
}

/// The cause of a container that can't start or has failed.
///
/// An image that can't be pulled is no failed migration. Only a migration that has exited is.
fn failure_of(id: &BlogMeta, pod: &str, container: &ContainerStatus) -> Option<Cause> {
    let state = container.state.as_ref()?;
    let name = &container.name;
    if let Some(waiting) = &state.waiting {
        let reason = waiting.reason.as_deref().unwrap_or_default();
        if matches!(reason, "" | "ContainerCreating" | "PodInitializing") {
            return None;
        }
        let Some(end) = container.last_state.as_ref().and_then(end_of) else {
            let why = waiting.message.as_deref().unwrap_or_default();
            let text = format!("container {name}: {reason}: {why}");
            return Some(Cause { reason: reasons::POD_FAILING, text, next: start_advice(id, pod, reason) });
        };
        return Some(ended(id, pod, container, &format!("container {name}: {reason}: {end}"), ""));
    }
    let end = end_of(state).or_else(|| out_of_memory(container))?;
    Some(ended(id, pod, container, &format!("container {name} failed: {end}"), ""))
}

/// The next command for a container that never started.
fn start_advice(id: &BlogMeta, pod: &str, reason: &str) -> String {
    match reason {
        "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" => {
            format!("to name another image: {}", edit_blog(id))
        }
        _ => format!("its Events: {}", describe_pod(id, pod)),
    }
}

/// The next command for a terminated container.
///
/// It shows the log, or the memory limit after an OOM kill.
fn end_advice(id: &BlogMeta, pod: &str, container: &ContainerStatus, options: &str) -> String {
    if !was_out_of_memory(container) {
        return format!("its log: {}{options}", logs(id, pod, &container.name));
    }
    let limits = match container.name.as_str() {
        MYSQL_CONTAINER | "prepare" => "spec.database.managed.resources.limits.memory",
        _ => "spec.resources.limits.memory",
    };
    format!("raise {limits}: {}", edit_blog(id))
}

/// The message for an OOM-killed container that isn't ready since. It would be killed again.
fn out_of_memory(container: &ContainerStatus) -> Option<String> {
    (!container.ready && was_out_of_memory(container))
        .then(|| end_of(container.last_state.as_ref()?))
        .flatten()
}

fn was_out_of_memory(container: &ContainerStatus) -> bool {
    let states = container.state.iter().chain(&container.last_state);
    states.filter_map(|state| state.terminated.as_ref()).any(|end| end.reason.as_deref() == Some("OOMKilled"))
}

/// The last failure of a retried init container, until it succeeds.
fn failed_before(id: &BlogMeta, pod: &str, container: &ContainerStatus) -> Option<Cause> {
    container.state.as_ref()?.running.as_ref()?;
    let end = container.last_state.as_ref().and_then(end_of)?;
    let text = format!("container {} failed: {end}", container.name);
    // The current log belongs to the retry.
    Some(ended(id, pod, container, &text, " --previous"))
}

/// The cause of a container that exited with an error.
///
/// An error that names a file of the session Secret concerns its keys.
fn ended(id: &BlogMeta, pod: &str, container: &ContainerStatus, text: &str, options: &str) -> Cause {
    let text = text.to_owned();
    if text.contains(SESSION_KEYS) {
        return Cause { reason: reasons::SESSION_KEYS_UNREADABLE, text, next: session_keys_advice(id) };
    }
    let reason = if container.name == MIGRATE { reasons::MIGRATION_FAILED } else { reasons::POD_FAILING };
    Cause { reason, text, next: end_advice(id, pod, container, options) }
}

/// Exit code and log end of a failed container.
fn end_of(state: &ContainerState) -> Option<String> {
    let end = state.terminated.as_ref().filter(|end| end.exit_code != 0)?;
    let is_killed = end.reason.as_deref() == Some("OOMKilled");
    let words = end.message.as_deref().filter(|_| !is_killed).or(end.reason.as_deref()).unwrap_or_default();
    Some(format!("exit code {}: {}", end.exit_code, last_words(words)))
}

/// The last lines of a log that explain the exit.
///
/// Lines marked as errors are preferred, then plain text, then all lines.
fn last_words(log: &str) -> String {
    let lines: Vec<&str> = log.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let marked = |line: &&str| line.contains("[ERROR]");
    // A structured line isn't readable, and the first one of a truncated log lacks its start.
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

/// The start of a text, up to the end of a word.
fn cut_at_word(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    let beginning: String = text.chars().take(limit).collect();
    let whole = beginning.rsplit_once(char::is_whitespace).map_or(beginning.as_str(), |(words, _)| words);
    format!("{whole} …")
}

/// The end of a text, from the start of a word.
fn end_from_word(text: &str, limit: usize) -> String {
    let surplus = text.chars().count().saturating_sub(limit);
    let end: String = text.chars().skip(surplus).collect();
    let whole = end.split_once(char::is_whitespace).map_or(end.as_str(), |(_, words)| words);
    format!("… {whole}")
}

fn unschedulable(id: &BlogMeta, pod: &Pod) -> Option<Cause> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let scheduled = conditions.iter().find(|one| one.type_ == "PodScheduled" && one.status == "False")?;
    let why = scheduled.message.as_deref().unwrap_or_default();
    let next = if why.contains("PersistentVolumeClaim") {
        format!("its claim: {}", describe_claim(id))
    } else {
        format!("to ask for less, or for other nodes: {}", edit_blog(id))
    };
    Some(Cause { reason: reasons::POD_FAILING, text: format!("can't be scheduled: {why}"), next })
}

fn shortened(text: &str) -> String {
    cut_at_word(text.trim(), MESSAGE_LIMIT)
}

/// The schema version by a replica's report, else by the newest migration.
pub(super) fn schema_version(observed: &Observed) -> Option<i64> {
    match &observed.replica_report {
        Some(
            ReplicaReport::Good { schema: Some(found), .. }
            | ReplicaReport::Failing { schema: Some(found), .. },
        ) => Some(*found),
        _ => migrated_version(observed),
    }
}

/// The schema version of the newest successful migration.
///
/// Its termination message is `schema version N`.
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

/// The MySQL version by the image's tag.
///
/// A pod that wasn't read has the newest template.
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
