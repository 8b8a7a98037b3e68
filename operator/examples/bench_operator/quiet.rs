//! Detects when the operator is idle, and verifies that it then writes nothing.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use flaskblog_api::OwnedKind;
use kube::ResourceExt;

use crate::{
    cluster::{Cluster, Requests, since, writes},
    process::Operator,
    rounds::list,
    say,
};

const LOOK: Duration = Duration::from_millis(50);
/// Time without work that counts as idle.
const STILL: Duration = Duration::from_secs(2);
const LIMIT: Duration = Duration::from_secs(120);
/// CPU time between two samples below which a process counts as idle.
const IDLE: Duration = Duration::from_millis(20);
const RECONCILES: &str = "flaskblog_operator_reconciles_total";

/// Waits until the operator neither reconciles nor uses CPU time.
///
/// Returns when it last did.
pub async fn until_quiet(operator: &Operator) -> Result<Instant> {
    let started = Instant::now();
    let mut last = started;
    let (mut reconciles, mut cpu) = (operator.metric(RECONCILES).await, operator.cpu()?);
    while last.elapsed() < STILL {
        ensure!(started.elapsed() < LIMIT, "the operator isn't quiet after {} s", LIMIT.as_secs());
        tokio::time::sleep(LOOK).await;
        let now = (operator.metric(RECONCILES).await, operator.cpu()?);
        if now.0 > reconciles || now.1 >= cpu + IDLE {
            last = Instant::now();
        }
        (reconciles, cpu) = now;
    }
    Ok(last)
}

/// Resource versions of all objects of the blogs.
async fn versions(cluster: &Cluster, namespace: &str) -> Result<Vec<Option<String>>> {
    let mut versions: Vec<_> =
        list(cluster, namespace).await?.iter().map(ResourceExt::resource_version).collect();
    for kind in OwnedKind::ALL {
        versions.extend(cluster.list(namespace, kind).await?.iter().map(ResourceExt::resource_version));
    }
    Ok(versions)
}

/// Runs `work`, during which nothing but Leases may be written.
///
/// It verifies this by the API server's count of requests, by all objects' versions and by the operator's own count.
pub async fn without_writes<T>(
    cluster: &Cluster,
    namespace: &str,
    what: &str,
    work: impl Future<Output = Result<T>>,
) -> Result<(T, Requests)> {
    let (before, objects) = (cluster.requests().await?, versions(cluster, namespace).await?);
    let result = work.await?;
    let written = writes(&since(&before, &cluster.requests().await?));
    ensure!(written.is_empty(), "{what}, these were written: {written:?}");
    ensure!(objects == versions(cluster, namespace).await?, "{what}, objects have changed");
    Ok((result, written))
}

/// Waits in idle state. Returns the CPU time that the operator used.
pub async fn quiet_time(
    cluster: &Cluster,
    namespace: &str,
    operator: &Operator,
    seconds: u64,
) -> Result<Duration> {
    say(&format!("quiet: {seconds} s in which nothing may be written"));
    let cpu = operator.cpu()?;
    let counted = operator.metric("flaskblog_operator_api_writes_total").await;
    let nothing = async {
        for _ in 0..seconds.div_ceil(10) {
            tokio::time::sleep(Duration::from_secs(seconds.min(10))).await;
            say("  still nothing to do");
        }
        Ok(())
    };
    without_writes(cluster, namespace, "in quiet time", nothing).await?;
    let now = operator.metric("flaskblog_operator_api_writes_total").await;
    ensure!(
        counted > 0.0 && now == counted,
        "the operator counted writes in quiet time: {counted}, then {now}"
    );
    operator.cpu()?.checked_sub(cpu).context("a process can't have worked less than before")
}
