//! Measurements c to f, on the blogs of the last round.

use std::{
    ops::Range,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use flaskblog_api::{FlaskBlog, OwnedKind};
use futures::{StreamExt, TryStreamExt, stream};
use kube::{
    Api,
    api::{DeleteParams, DynamicObject, Patch, PatchParams},
};
use serde_json::json;

use crate::{
    cluster::Cluster,
    crowd::Crowd,
    process::{Launch, Operator},
    quiet::{until_quiet, without_writes},
    say,
};

const LIMIT: Duration = Duration::from_secs(120);
const PARALLEL: usize = 16;
/// The kinds that are deleted in turn.
const KINDS: [OwnedKind; 3] = [OwnedKind::Service, OwnedKind::Deployment, OwnedKind::PodDisruptionBudget];

/// c: growth of the operator in MiB while that many unrelated Secrets and ConfigMaps are created.
pub async fn growth_by_strangers(
    cluster: &Cluster,
    namespace: &str,
    operator: &Operator,
    count: usize,
) -> Result<f64> {
    say(&format!("memory: {count} unrelated Secrets and ConfigMaps"));
    let before = operator.memory()?;
    cluster.unrelated(namespace, count).await?;
    // A cache of them would have grown by then.
    tokio::time::sleep(Duration::from_secs(3)).await;
    Ok(operator.memory()?.now - before.now)
}

/// d: time from the start of a new process until it is idle, without a write.
pub async fn restart(
    cluster: &Cluster,
    launch: &Launch,
    namespace: &str,
    old: Operator,
) -> Result<(Operator, Duration)> {
    say("restart: a new process on settled blogs");
    old.stop().await?;
    let work = async {
        let operator = Operator::start(launch, namespace)?;
        let quiet = until_quiet(&operator).await?;
        let took = quiet - operator.started;
        Ok((operator, took))
    };
    let (result, _) = without_writes(cluster, namespace, "after a restart", work).await?;
    Ok(result)
}

/// e: time from the first changed title to the last changed Deployment.
pub async fn changed_specs(
    cluster: &Cluster,
    namespace: &str,
    crowd: &Crowd,
    count: usize,
    title: &str,
) -> Result<Duration> {
    say(&format!("specs: {count} changed titles"));
    let deployments: Vec<_> =
        (0..count).map(|number| (OwnedKind::Deployment, format!("blog-{number}"))).collect();
    let known = crowd.objects("are known", &deployments, LIMIT, |_| true).await?;
    let last = known.iter().map(|one| one.generation).max().context("there are no Deployments")?;
    let api: Api<FlaskBlog> = Api::namespaced(cluster.admin.clone(), namespace);
    let started = Instant::now();
    stream::iter(0..count)
        .map(Ok)
        .try_for_each_concurrent(PARALLEL, |number| {
            let api = api.clone();
            async move {
                let patch = Patch::Merge(json!({"spec": {"title": title}}));
                let patched = api.patch(&format!("blog-{number}"), &PatchParams::default(), &patch).await;
                patched.map(|_| ()).context("failed to change a title")
            }
        })
        .await?;
    let changed = crowd.objects("have changed", &deployments, LIMIT, |one| one.generation > last).await?;
    let end = changed.iter().map(|one| one.since).max().context("there are no Deployments")?;
    Ok(end - started)
}

/// f: time for which each deleted object was absent, from watch event to watch event, sorted.
pub async fn drift(
    cluster: &Cluster,
    namespace: &str,
    crowd: &Crowd,
    blogs: Range<usize>,
) -> Result<Vec<Duration>> {
    let count = blogs.len();
    say(&format!("drift: {count} deleted objects"));
    let victims: Vec<(OwnedKind, String)> =
        blogs.map(|number| (KINDS[number % KINDS.len()], format!("blog-{number}"))).collect();
    crowd.objects("are known", &victims, LIMIT, |_| true).await?;
    stream::iter(&victims)
        .map(Ok)
        .try_for_each_concurrent(count, |(kind, name)| async move {
            let client = cluster.admin.clone();
            let api: Api<DynamicObject> = Api::namespaced_with(client, namespace, &kind.api_resource());
            let deleted = api.delete(name, &DeleteParams::background()).await;
            deleted.map(|_| ()).with_context(|| format!("failed to delete {kind:?} {name}"))
        })
        .await?;
    let back = crowd.objects("are back", &victims, LIMIT, |one| one.away.is_some()).await?;
    let mut away: Vec<Duration> = back.iter().filter_map(|one| one.away).collect();
    away.sort();
    Ok(away)
}
