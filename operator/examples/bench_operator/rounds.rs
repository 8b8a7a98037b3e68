//! Measurement a: all objects of many blogs, created alternately by the operator and the plain client.

use std::time::Duration;

use anyhow::{Context as _, Result};
use flaskblog_api::FlaskBlog;
use kube::{Api, api::ListParams};
use serde_json::{Value, json};

use crate::{
    cluster::{Cluster, Requests, reads, since, writes},
    crowd::Crowd,
    floor::{Recipe, build, check_objects},
    process::{Launch, Memory, Operator},
    quiet::until_quiet,
    say,
};

/// A run of the operator with new blogs.
pub struct Round {
    pub namespace: String,
    pub took: Duration,
    /// Until it was idle again.
    pub cpu: Duration,
    pub memory: Memory,
    pub written: Requests,
    pub reads: f64,
    pub operator: Operator,
    pub crowd: Crowd,
    pub recipe: Recipe,
    /// A converged blog's status, for the plain client to write.
    pub status: Value,
}

/// Time limit of a round.
pub fn limit(blogs: usize) -> Duration {
    Duration::from_secs(120 + blogs as u64 / 4)
}

/// Runs the operator on existing FlaskBlogs, from its start until the last blog is Ready.
pub async fn operator_round(cluster: &Cluster, launch: &Launch, name: &str, count: usize) -> Result<Round> {
    let namespace = format!("bench-{name}");
    say(&format!("{name}: the operator and {count} blogs"));
    cluster.blogs(&namespace, count).await?;
    let crowd = Crowd::gather(&cluster.admin, &namespace);
    let before = cluster.requests().await?;
    let mut operator = Operator::start(launch, &namespace)?;
    let ready = crowd.all_ready(count, limit(count)).await;
    operator.check()?;
    let took = ready? - operator.started;
    until_quiet(&operator).await?;
    let requests = since(&before, &cluster.requests().await?);
    let (cpu, memory) = (operator.cpu()?, operator.memory()?);
    let blogs = list(cluster, &namespace).await?;
    check_objects(cluster, &namespace, &blogs).await?;
    let status = blogs.first().and_then(|blog| blog.status.as_ref()).map(|status| json!(status));
    let status = status.context("there are no blogs; --blogs must be at least 1")?;
    let (recipe, written) = (recipe_of(&requests, count), writes(&requests));
    say(&format!(
        "  {:.2} s, {:.2} ms CPU a blog",
        took.as_secs_f64(),
        cpu.as_secs_f64() * 1000.0 / count as f64
    ));
    let reads = reads(&requests);
    Ok(Round { namespace, took, cpu, memory, written, reads, operator, crowd, recipe, status })
}

/// Sends the same writes by the plain client, into another namespace.
pub async fn floor_round(
    cluster: &Cluster,
    name: &str,
    count: usize,
    (recipe, status): (Recipe, &Value),
    parallel: usize,
) -> Result<Duration> {
    let namespace = format!("bench-{name}");
    say(&format!(
        "{name}: the plain client and {count} blogs, {} writes each, {parallel} at a time",
        recipe.writes()
    ));
    let blogs = cluster.blogs(&namespace, count).await?;
    let crowd = Crowd::gather(&cluster.admin, &namespace);
    let work = async {
        let began = build(&cluster.plain, &namespace, &blogs, recipe, status, parallel).await?;
        Ok::<_, anyhow::Error>((began, std::time::Instant::now()))
    };
    let (began, written) =
        tokio::time::timeout(limit(count), work).await.context("the plain client is too slow")??;
    let took = crowd.all_ready(count, limit(count)).await?.max(written) - began;
    check_objects(cluster, &namespace, &blogs).await?;
    say(&format!("  {:.2} s", took.as_secs_f64()));
    Ok(took)
}

/// The writes of one blog, from the API server's count.
fn recipe_of(requests: &Requests, count: usize) -> Recipe {
    let of = |resource: &str, verb: &str| -> f64 {
        let wanted = |(key, _): &(&(String, String), &f64)| key.1 == resource && key.0 == verb;
        requests.iter().filter(wanted).map(|(_, value)| value / count as f64).sum()
    };
    Recipe {
        secrets_applied: of("secrets", "APPLY") + of("secrets", "PATCH") > 1.0,
        statuses: (of("flaskblogs", "PATCH").round() as usize).max(1),
        events: of("events", "POST").round() as usize,
    }
}

/// Lists the FlaskBlogs of a namespace.
pub async fn list(cluster: &Cluster, namespace: &str) -> Result<Vec<FlaskBlog>> {
    let api: Api<FlaskBlog> = Api::namespaced(cluster.admin.clone(), namespace);
    Ok(api.list(&ListParams::default()).await.context("failed to list FlaskBlogs")?.items)
}

/// The operator's writes per blog, without those of the bench: the statuses of two workloads per blog.
pub fn writes_per_blog(round: &Round, count: usize) -> f64 {
    round.written.values().sum::<f64>() / count as f64 - 2.0
}
