//! Compares the operator with a plain client that makes the same writes. `make bench-operator` runs it and prints a table.
//!
//! The API server is a real one without nodes and controllers; the bench stands in for those. Slow results are no failure. A
//! missing object, or a write although nothing changed, is one.

mod cluster;
mod crowd;
mod floor;
mod phases;
mod process;
mod quiet;
mod report;
mod rounds;

use std::{sync::OnceLock, time::Duration, time::Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use serde_json::Value;

use crate::{
    cluster::{Cluster, LEASE_NAMESPACE, path},
    floor::{Recipe, check_objects, retitle},
    process::Launch,
    quiet::{quiet_time, until_quiet},
    report::{Floors, Growth, Phases, Report},
    rounds::{Round, floor_round, list, operator_round},
};

/// Measures the operator against a real API server and prints a Markdown table of measured values and targets.
#[derive(Debug, Parser)]
#[command(name = "dev/bench-operator.sh")]
struct Args {
    /// FlaskBlogs per round.
    #[arg(long, default_value_t = 1000)]
    blogs: usize,
    /// FlaskBlogs of one more round, to measure growth; 0 omits it.
    #[arg(long, default_value_t = 5000)]
    growth: usize,
    /// Number of rounds, of which the medians count.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds in which nothing may be written.
    #[arg(long, default_value_t = 60)]
    quiet: u64,
}

/// Prints a progress line with the elapsed time.
fn say(text: &str) {
    static STARTED: OnceLock<Instant> = OnceLock::new();
    let elapsed = STARTED.get_or_init(Instant::now).elapsed().as_secs();
    eprintln!("[{:2}:{:02}] {text}", elapsed / 60, elapsed % 60);
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    ensure!(args.blogs > 0 && args.rounds > 0, "--blogs and --rounds must be at least 1");
    say("Setting up the API server");
    let launch = Launch {
        binary: path("BENCH_OPERATOR")?,
        kubeconfig: path("BENCH_WORK")?.join("kubeconfig"),
        lease_namespace: LEASE_NAMESPACE.into(),
        log: path("BENCH_WORK")?.join("operator.log"),
    };
    let (admin, rules) = (path("API_TEST_KUBECONFIG")?, path("BENCH_RULES")?);
    let cluster = Cluster::prepare(&admin, &launch.kubeconfig, &rules).await?;
    let report = measure(&args, &cluster, &launch).await?;
    println!("{report}");
    Ok(())
}

async fn measure(args: &Args, cluster: &Cluster, launch: &Launch) -> Result<Report> {
    let warm = warm_up(args, cluster, launch).await?;
    let (rounds, floors, last) = interleaved(args, cluster, launch, &warm).await?;
    let phases = phases(args, cluster, launch, last, warm.parallel).await?;
    let growth = match args.growth {
        0 => None,
        count => Some(grown(cluster, launch, count, &warm).await?),
    };
    Ok(Report { blogs: args.blogs, rounds, floors, phases, growth })
}

/// Result of a small round: the operator's writes, and the fastest number of parallel requests.
struct Warm {
    recipe: Recipe,
    status: Value,
    parallel: usize,
}

async fn warm_up(args: &Args, cluster: &Cluster, launch: &Launch) -> Result<Warm> {
    let count = (args.blogs / 5).clamp(1, 200);
    let Round { recipe, status, operator, .. } = operator_round(cluster, launch, "warm-up", count).await?;
    operator.stop().await?;
    let mut best = (Duration::MAX, 0);
    for parallel in [8, 16, 32] {
        let name = format!("warm-up-floor-{parallel}");
        let took = floor_round(cluster, &name, count, (recipe, &status), parallel).await?;
        best = best.min((took, parallel));
    }
    Ok(Warm { recipe, status, parallel: best.1 })
}

/// Runs the rounds alternately. The last operator keeps running.
async fn interleaved(
    args: &Args,
    cluster: &Cluster,
    launch: &Launch,
    warm: &Warm,
) -> Result<(Vec<report::Made>, Floors, Round)> {
    let (mut made, mut floors, mut last) = (Vec::new(), Floors::new(warm.parallel), None::<Round>);
    for number in 1..=args.rounds {
        if let Some(round) = last.take() {
            round.operator.stop().await?;
        }
        let same = (warm.recipe, &warm.status);
        let name = format!("floor-{number}");
        if number % 2 == 0 {
            floors.same.push(floor_round(cluster, &name, args.blogs, same, warm.parallel).await?);
        }
        let round = operator_round(cluster, launch, &format!("operator-{number}"), args.blogs).await?;
        if number % 2 == 1 {
            floors.same.push(floor_round(cluster, &name, args.blogs, same, warm.parallel).await?);
        }
        let (name, fewest) = (format!("fewest-{number}"), (Recipe::FEWEST, &warm.status));
        floors.fewest.push(floor_round(cluster, &name, args.blogs, fewest, warm.parallel).await?);
        made.push(report::Made::of(&round, args.blogs));
        last = Some(round);
    }
    Ok((made, floors, last.context("there was no round")?))
}

async fn phases(
    args: &Args,
    cluster: &Cluster,
    launch: &Launch,
    round: Round,
    parallel: usize,
) -> Result<Phases> {
    let Round { namespace, mut operator, crowd, .. } = round;
    let quiet_cpu = quiet_time(cluster, &namespace, &operator, args.quiet).await?;
    let strangers = phases::growth_by_strangers(cluster, &namespace, &operator, 2000).await?;
    let mut restarts = Vec::new();
    for _ in 0..args.rounds {
        let took;
        (operator, took) = phases::restart(cluster, launch, &namespace, operator).await?;
        restarts.push(took);
    }
    let restarted = operator.memory()?;
    let (mut specs, mut specs_floor) = (Vec::new(), Vec::new());
    let beside = format!("bench-floor-{}", args.rounds);
    for number in 1..=args.rounds {
        let count = args.blogs.min(200);
        let title = format!("Title {number}");
        specs.push(phases::changed_specs(cluster, &namespace, &crowd, count, &title).await?);
        until_quiet(&operator).await?;
        specs_floor.push(retitle(cluster, &beside, count, &title, parallel).await?);
    }
    let (mut drifts, count) = (Vec::new(), args.blogs.min(100));
    // Other blogs each time: until the watch reports a deletion, an object's last absence would count as the new one.
    for first in (0..=args.blogs - count).step_by(count).take(args.rounds) {
        drifts.push(phases::drift(cluster, &namespace, &crowd, first..first + count).await?);
        crowd.all_ready(args.blogs, rounds::limit(args.blogs)).await?;
        until_quiet(&operator).await?;
    }
    check_objects(cluster, &namespace, &list(cluster, &namespace).await?).await?;
    operator.stop().await?;
    Ok(Phases { quiet: args.quiet, quiet_cpu, strangers, restarts, restarted, specs, specs_floor, drifts })
}

async fn grown(cluster: &Cluster, launch: &Launch, count: usize, warm: &Warm) -> Result<Growth> {
    let same = (warm.recipe, &warm.status);
    let floor = floor_round(cluster, "growth-floor", count, same, warm.parallel).await?;
    let round = operator_round(cluster, launch, "growth", count).await?;
    let made = report::Made::of(&round, count);
    let (operator, restart) = phases::restart(cluster, launch, &round.namespace, round.operator).await?;
    operator.stop().await?;
    Ok(Growth { blogs: count, made, floor, restart })
}
