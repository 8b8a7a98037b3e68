//! Stands in for the controllers and nodes that this API server lacks.
//!
//! It reports every workload as ready once it sees it. It also records when objects are created, changed and deleted.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use flaskblog_api::{FlaskBlog, OwnedKind, conditions};
use futures::{StreamExt, channel::mpsc};
use kube::{
    Api, Client, ResourceExt,
    api::{DynamicObject, PartialObjectMeta, Patch, PatchParams},
    runtime::{WatchStreamExt, watcher, watcher::Config as WatchConfig, watcher::Event},
};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::say;

/// Parallel writes of workloads' statuses.
const PARALLEL: usize = 16;
/// The kinds whose objects are recorded.
const SEEN: [OwnedKind; 4] =
    [OwnedKind::Service, OwnedKind::StatefulSet, OwnedKind::Deployment, OwnedKind::PodDisruptionBudget];
const BLINK: Duration = Duration::from_millis(5);
const PROGRESS: Duration = Duration::from_secs(5);

/// An object as it was last seen.
#[derive(Clone, Debug)]
pub struct Sighting {
    pub generation: i64,
    /// When this generation was first seen.
    pub since: Instant,
    /// When it was last deleted, and how long it was then absent.
    gone: Option<Instant>,
    pub away: Option<Duration>,
}

#[derive(Default)]
struct Seen {
    ready: BTreeSet<String>,
    last_ready: Option<Instant>,
    objects: BTreeMap<(OwnedKind, String), Sighting>,
    problems: Vec<String>,
}

/// Stands in for controllers in one namespace, until it is dropped.
pub struct Crowd {
    seen: Arc<Mutex<Seen>>,
    _tasks: JoinSet<()>,
}

type Workload = (OwnedKind, String, i64);

impl Crowd {
    pub fn gather(client: &Client, namespace: &str) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let mut tasks = JoinSet::new();
        let (sender, workloads) = mpsc::unbounded();
        for kind in SEEN {
            tasks.spawn(watch_kind(
                client.clone(),
                namespace.to_owned(),
                kind,
                Arc::clone(&seen),
                sender.clone(),
            ));
        }
        tasks.spawn(watch_blogs(client.clone(), namespace.to_owned(), Arc::clone(&seen)));
        tasks.spawn(write_statuses(client.clone(), namespace.to_owned(), workloads, Arc::clone(&seen)));
        Self { seen, _tasks: tasks }
    }

    /// Waits until that many blogs are ready.
    ///
    /// Returns when the last one became ready.
    pub async fn all_ready(&self, count: usize, limit: Duration) -> Result<Instant> {
        let what = format!("of {count} blogs are ready");
        let done = self.until(&what, limit, |seen| (seen.ready.len(), seen.ready.len() >= count)).await;
        let seen = lock(&self.seen);
        let missing =
            (0..count).map(|number| format!("blog-{number}")).find(|name| !seen.ready.contains(name));
        done.with_context(|| format!("not ready: {}", missing.unwrap_or_default()))?;
        Ok(seen.last_ready.unwrap_or_else(Instant::now))
    }

    /// Waits until all these objects satisfy `right`.
    pub async fn objects<F>(
        &self,
        what: &str,
        of: &[(OwnedKind, String)],
        limit: Duration,
        right: F,
    ) -> Result<Vec<Sighting>>
    where
        F: Fn(&Sighting) -> bool,
    {
        let found = |seen: &Seen| -> Vec<Sighting> {
            of.iter().filter_map(|key| seen.objects.get(key)).filter(|one| right(one)).cloned().collect()
        };
        let what = format!("of {} objects {what}", of.len());
        self.until(&what, limit, |seen| {
            let count = found(seen).len();
            (count, count == of.len())
        })
        .await?;
        Ok(found(&lock(&self.seen)))
    }

    async fn until(&self, what: &str, limit: Duration, done: impl Fn(&Seen) -> (usize, bool)) -> Result<()> {
        let started = Instant::now();
        let mut next = started + PROGRESS;
        loop {
            let (count, complete) = {
                let seen = lock(&self.seen);
                if let Some(problem) = seen.problems.first() {
                    bail!("the workloads' statuses couldn't be written or watched: {problem}");
                }
                done(&seen)
            };
            if complete {
                return Ok(());
            }
            if started.elapsed() > limit {
                bail!("only {count} {what} after {} s; see the operator's log", limit.as_secs());
            }
            if Instant::now() > next {
                say(&format!("  {count} {what}"));
                next += PROGRESS;
            }
            tokio::time::sleep(BLINK).await;
        }
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn watch_kind(
    client: Client,
    namespace: String,
    kind: OwnedKind,
    seen: Arc<Mutex<Seen>>,
    workloads: mpsc::UnboundedSender<Workload>,
) {
    let api: Api<PartialObjectMeta<DynamicObject>> =
        Api::namespaced_with(client, &namespace, &kind.api_resource());
    let mut events = watcher(api, WatchConfig::default()).default_backoff().boxed();
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Apply(object) | Event::InitApply(object)) => {
                let (name, generation) = (object.name_any(), object.metadata.generation.unwrap_or(0));
                let newer = lock(&seen).came(kind, &name, generation);
                if newer && matches!(kind, OwnedKind::StatefulSet | OwnedKind::Deployment) {
                    let _ = workloads.unbounded_send((kind, name, generation));
                }
            }
            Ok(Event::Delete(object)) => lock(&seen).went(kind, &object.name_any()),
            Ok(Event::Init | Event::InitDone) => {}
            Err(error) => lock(&seen).problems.push(error.to_string()),
        }
    }
}

impl Seen {
    /// Records an object; returns whether its generation is new.
    fn came(&mut self, kind: OwnedKind, name: &str, generation: i64) -> bool {
        let now = Instant::now();
        let key = (kind, name.to_owned());
        let fresh = Sighting { generation: -1, since: now, gone: None, away: None };
        let sighting = self.objects.entry(key).or_insert(fresh);
        let back = sighting.gone.take();
        if let Some(gone) = back {
            sighting.away = Some(now - gone);
        }
        let newer = back.is_some() || generation > sighting.generation;
        if newer {
            (sighting.generation, sighting.since) = (generation, now);
        }
        newer
    }

    fn went(&mut self, kind: OwnedKind, name: &str) {
        if let Some(sighting) = self.objects.get_mut(&(kind, name.to_owned())) {
            (sighting.gone, sighting.away) = (Some(Instant::now()), None);
        }
    }
}

async fn watch_blogs(client: Client, namespace: String, seen: Arc<Mutex<Seen>>) {
    let api: Api<FlaskBlog> = Api::namespaced(client, &namespace);
    let mut events = watcher(api, WatchConfig::default()).default_backoff().boxed();
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Apply(blog) | Event::InitApply(blog)) => {
                let mut seen = lock(&seen);
                if !is_ready(&blog) {
                    seen.ready.remove(&blog.name_any());
                } else if seen.ready.insert(blog.name_any()) {
                    seen.last_ready = Some(Instant::now());
                }
            }
            Ok(_) => {}
            Err(error) => lock(&seen).problems.push(error.to_string()),
        }
    }
}

/// Whether the status reports the newest spec as ready.
pub fn is_ready(blog: &FlaskBlog) -> bool {
    let conditions = blog.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    conditions.iter().any(|one| {
        one.type_ == conditions::READY
            && one.status == "True"
            && one.observed_generation == blog.metadata.generation
    })
}

async fn write_statuses(
    client: Client,
    namespace: String,
    workloads: mpsc::UnboundedReceiver<Workload>,
    seen: Arc<Mutex<Seen>>,
) {
    workloads
        .for_each_concurrent(PARALLEL, |(kind, name, generation)| {
            let (client, namespace, seen) = (client.clone(), namespace.clone(), Arc::clone(&seen));
            async move {
                let api: Api<DynamicObject> = Api::namespaced_with(client, &namespace, &kind.api_resource());
                let patch = Patch::Merge(json!({"status": ready_status(kind, generation)}));
                match api.patch_status(&name, &PatchParams::default(), &patch).await {
                    Err(kube::Error::Api(status)) if status.is_not_found() => {}
                    Err(error) => lock(&seen).problems.push(error.to_string()),
                    Ok(_) => {}
                }
            }
        })
        .await;
}

fn ready_status(kind: OwnedKind, generation: i64) -> Value {
    if kind == OwnedKind::Deployment {
        return json!({"observedGeneration": generation, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2,
            "availableReplicas": 2});
    }
    json!({"observedGeneration": generation, "replicas": 1, "readyReplicas": 1, "availableReplicas": 1,
        "updatedReplicas": 1, "currentRevision": "r", "updateRevision": "r"})
}
