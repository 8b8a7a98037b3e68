//! Database health as the replicas report it on `/readyz` of their admin port.
//!
//! Kubernetes' readiness means that a replica serves pages, possibly cached ones. Only a replica can check whether posts can be
//! written and read with its own login over its own connection.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::{ResourceExt, api::DynamicObject};
use parking_lot::Mutex;
use rand::Rng;
use tokio::time::{Instant, timeout};

use crate::k8s::http_get::get_readyz;
use crate::model::observed::ReplicaReport;

/// The port of `blog-app` for probes.
pub const ADMIN_PORT: u16 = 9090;
/// Interval between two requests to the replicas of a ready blog.
///
/// A failure is reported within 30 seconds.
const INTERVAL: Duration = Duration::from_secs(15);
/// Interval between two requests while a replica reports a failure.
const INTERVAL_WHILE_FAILING: Duration = Duration::from_secs(5);
/// How long a response counts while a blog isn't ready.
const FRESH: Duration = Duration::from_secs(1);
/// Timeout of a request. A replica checks its database for at most 3 seconds.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Largest number of replicas that are requested. The others share their database.
const REPLICAS: usize = 8;
const REQUESTS_AT_ONCE: usize = 4;
/// Longest stored cause, in characters.
const CAUSE_LIMIT: usize = 400;

/// Status and body of a response, or the error.
type Answer = Result<(u16, String), String>;

/// A running replica.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Replica {
    pod: String,
    address: IpAddr,
    is_ready: bool,
}

#[derive(Debug)]
struct Entry {
    /// The version of the Deployment that the replicas belong to.
    deployment: Option<String>,
    /// `None` until listed, right after a start of the operator.
    replicas: Option<Vec<Replica>>,
    report: Option<ReplicaReport>,
    asked: Instant,
    next: Instant,
}

impl Entry {
    /// Whether the Deployment has no pods. They aren't listed again until it changes.
    fn is_empty(&self) -> bool {
        self.replicas.as_ref().is_some_and(Vec::is_empty)
    }
}

/// The last reports, by the uid of the blog.
#[derive(Debug, Default)]
pub struct ReplicaHealth(Mutex<HashMap<String, Entry>>);

/// The source of the next reconcile's report.
#[derive(Debug, PartialEq, Eq)]
pub enum Lookup {
    /// The last report is recent.
    Recent(Option<ReplicaReport>),
    /// The known replicas are requested again.
    Known,
    /// The pods are listed first.
    List,
}

impl ReplicaHealth {
    /// Decides how to get the state of a blog's replicas.
    ///
    /// `is_ready`: the status reports the blog as ready.
    pub fn lookup(&self, uid: &str, deployment: &DynamicObject, is_ready: bool) -> Lookup {
        let mut all = self.0.lock();
        let (version, now) = (deployment.resource_version(), Instant::now());
        // Ready never turns true by a response from before the change that it waits for.
        let is_recent = |entry: &Entry| if is_ready { entry.next > now } else { entry.asked + FRESH > now };
        match all.get(uid) {
            Some(entry) if entry.deployment != version => Lookup::List,
            Some(entry) if is_recent(entry) || entry.is_empty() => Lookup::Recent(entry.report.clone()),
            Some(Entry { replicas: Some(_), .. }) => Lookup::Known,
            Some(_) => Lookup::List,
            // After a start of the operator thousands of blogs are ready, and no replica has been requested yet.
            None if is_ready => {
                let next = now + INTERVAL.mul_f64(rand::rng().random_range(0.0..1.0));
                let entry = Entry { deployment: version, replicas: None, report: None, asked: now, next };
                all.insert(uid.to_owned(), entry);
                Lookup::Recent(None)
            }
            None => Lookup::List,
        }
    }

    /// Requests the running replicas (client required) and caches the report. `pods` replaces the known ones.
    pub async fn ask(
        &self,
        uid: &str,
        deployment: &DynamicObject,
        pods: Option<&[Pod]>,
    ) -> Option<ReplicaReport> {
        let replicas = match pods {
            Some(pods) => running(pods),
            None => self.0.lock().get(uid).and_then(|entry| entry.replicas.clone()).unwrap_or_default(),
        };
        let report = report(&replicas).await;
        let interval = if matches!(report, Some(ReplicaReport::Failing { .. })) {
            INTERVAL_WHILE_FAILING
        } else {
            INTERVAL
        };
        let asked = Instant::now();
        let next = asked + interval.mul_f64(rand::rng().random_range(1.0..1.1));
        let (deployment, replicas) = (deployment.resource_version(), Some(replicas));
        let entry = Entry { deployment, replicas, report: report.clone(), asked, next };
        self.0.lock().insert(uid.to_owned(), entry);
        report
    }

    /// Time until the next request to a blog's replicas, if any.
    pub fn next(&self, uid: &str) -> Option<Duration> {
        let all = self.0.lock();
        let entry = all.get(uid)?;
        (!entry.is_empty()).then(|| entry.next.saturating_duration_since(Instant::now()))
    }

    /// Evicts a blog that is deleted or has no replica.
    pub fn forget(&self, uid: &str) {
        self.0.lock().remove(uid);
    }
}

/// The pods that should respond. Terminating pods only report that they terminate.
fn running(pods: &[Pod]) -> Vec<Replica> {
    pods.iter().filter_map(replica).take(REPLICAS).collect()
}

fn replica(pod: &Pod) -> Option<Replica> {
    let status = pod.status.as_ref()?;
    if pod.metadata.deletion_timestamp.is_some() || status.phase.as_deref() != Some("Running") {
        return None;
    }
    let address = status.pod_ip.as_ref()?.parse().ok()?;
    let is_ready = crate::model::pod::is_ready(pod);
    Some(Replica { pod: pod.name_any(), address, is_ready })
}

async fn report(replicas: &[Replica]) -> Option<ReplicaReport> {
    let answers: Vec<_> = stream::iter(replicas.to_vec())
        .map(|replica| async move {
            let answer = ask_replica(SocketAddr::new(replica.address, ADMIN_PORT)).await;
            (replica, answer)
        })
        .buffered(REQUESTS_AT_ONCE)
        .collect()
        .await;
    summary(answers)
}

async fn ask_replica(address: SocketAddr) -> Answer {
    match timeout(TIMEOUT, get_readyz(&address.to_string())).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", TIMEOUT.as_secs())),
    }
}

/// Merges all responses: the first failure, else the first success.
fn summary(answers: Vec<(Replica, Answer)>) -> Option<ReplicaReport> {
    let mut unreachable = None;
    let mut good = None;
    for (Replica { pod, is_ready, .. }, answer) in answers {
        match answer {
            Ok((200, body)) => {
                let schema = schema_version(&body);
                let found = warning(&body).map(|cause| (pod, cause));
                if good.is_none() || found.is_some() {
                    good = Some(ReplicaReport::Good { schema, warning: found });
                }
            }
            Ok((503, body)) => match body.lines().next().map(str::trim) {
                Some(line) if !line.is_empty() && line != "shutting down" => {
                    let (cause, schema) = (shortened(line), schema_version(&body));
                    return Some(ReplicaReport::Failing { pod, cause, schema });
                }
                _ => {}
            },
            // A starting replica doesn't listen yet.
            Err(_) if !is_ready => {}
            Ok((status, _)) => unreachable = Some((pod, format!("HTTP status {status}"))),
            Err(cause) => unreachable = Some((pod, cause)),
        }
    }
    good.or(unreachable.map(|(pod, cause)| ReplicaReport::Unreachable { pod, cause: shortened(&cause) }))
}

fn schema_version(body: &str) -> Option<i64> {
    body.lines().find_map(|line| line.strip_prefix("schema version ")?.trim().parse().ok())
}

fn warning(body: &str) -> Option<String> {
    body.lines().find_map(|line| line.strip_prefix("warning: ")).map(shortened)
}

fn shortened(cause: &str) -> String {
    cause.chars().take(CAUSE_LIMIT).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(pod: &str, is_ready: bool, answer: Result<(u16, &str), &str>) -> (Replica, Answer) {
        let replica = Replica { pod: pod.into(), address: [10, 0, 0, 1].into(), is_ready };
        (replica, answer.map(|(status, body)| (status, body.to_owned())).map_err(str::to_owned))
    }

    #[test]
    fn all_good_replicas_report_the_schema() {
        let good = || Ok((200, "ready\nschema version 3\n"));
        let report = summary(vec![answer("a", true, good()), answer("b", true, good())]);
        assert_eq!(report, Some(ReplicaReport::Good { schema: Some(3), warning: None }));
        let warned = "ready\nschema version 3\nwarning: the session key has 7 bytes\n";
        let report = summary(vec![answer("a", true, Ok((200, warned))), answer("b", true, good())]);
        let warning = Some(("a".to_owned(), "the session key has 7 bytes".to_owned()));
        assert_eq!(report, Some(ReplicaReport::Good { schema: Some(3), warning }));
        assert_eq!(summary(Vec::new()), None);
    }

    #[test]
    fn one_failing_replica_names_pod_and_cause() {
        let failing = answer("b", true, Ok((503, "the schema is too old\nschema version 0\n")));
        let report = summary(vec![answer("a", true, Ok((200, "ready\n"))), failing]);
        let (pod, cause, schema) = ("b".into(), "the schema is too old".into(), Some(0));
        assert_eq!(report, Some(ReplicaReport::Failing { pod, cause, schema }));
    }

    #[test]
    fn ending_and_starting_replicas_are_no_failure() {
        let ending = answer("a", true, Ok((503, "shutting down\n")));
        let starting = answer("b", false, Err("connection refused"));
        assert_eq!(summary(vec![ending, starting]), None);
    }

    #[test]
    fn ready_replica_without_an_answer_is_unreachable() {
        for silent in [Err("connection refused"), Ok((404, ""))] {
            let report = summary(vec![answer("a", true, silent)]);
            assert!(matches!(report, Some(ReplicaReport::Unreachable { .. })), "{report:?}");
        }
        let one_answers =
            summary(vec![answer("a", true, Err("refused")), answer("b", true, Ok((200, "ready\n")))]);
        assert_eq!(one_answers, Some(ReplicaReport::Good { schema: None, warning: None }));
    }

    #[test]
    fn only_running_pods_that_stay_are_asked() {
        let pod = |phase: &str, deleted: Option<&str>| -> Pod {
            serde_json::from_value(json!({"metadata": {"name": "a", "deletionTimestamp": deleted},
                "status": {"phase": phase, "podIP": "10.0.0.7", "conditions": [{"type": "Ready", "status": "True"}]}}))
            .unwrap()
        };
        let pods = [pod("Running", None), pod("Pending", None), pod("Running", Some("2026-01-01T00:00:00Z"))];
        let replicas = running(&pods);
        assert_eq!(replicas, [Replica { pod: "a".into(), address: [10, 0, 0, 7].into(), is_ready: true }]);
    }

    #[tokio::test(start_paused = true)]
    async fn replicas_are_listed_again_when_the_deployment_changes() {
        let health = ReplicaHealth::default();
        let deployment = |version: &str| -> DynamicObject {
            serde_json::from_value(json!({"metadata": {"name": "x", "resourceVersion": version}})).unwrap()
        };
        assert_eq!(health.lookup("uid", &deployment("1"), false), Lookup::List);
        assert_eq!(health.ask("uid", &deployment("1"), Some(&[])).await, None);
        assert_eq!(health.lookup("uid", &deployment("1"), false), Lookup::Recent(None));
        assert_eq!(health.lookup("uid", &deployment("2"), true), Lookup::List);
        tokio::time::advance(INTERVAL * 2).await;
        assert_eq!(health.lookup("uid", &deployment("1"), false), Lookup::Recent(None), "no pod to ask");
        assert_eq!(health.next("uid"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn ready_blogs_are_not_all_asked_after_a_start() {
        let health = ReplicaHealth::default();
        let deployment: DynamicObject =
            serde_json::from_value(json!({"metadata": {"name": "x", "resourceVersion": "1"}})).unwrap();
        assert_eq!(health.lookup("uid", &deployment, true), Lookup::Recent(None));
        assert!(health.next("uid").unwrap() <= INTERVAL);
        tokio::time::advance(INTERVAL).await;
        assert_eq!(health.lookup("uid", &deployment, true), Lookup::List);
    }
}
