//! Prints the results as a Markdown table.

use std::{fmt, time::Duration};

use crate::{
    floor::CHILDREN,
    process::Memory,
    rounds::{Round, writes_per_blog},
};

/// Results of one round of the operator.
#[derive(Clone, Copy, Debug)]
pub struct Made {
    took: Duration,
    /// In milliseconds per blog.
    cpu: f64,
    memory: Memory,
    /// Per blog.
    writes: f64,
    reads: f64,
}

impl Made {
    pub fn of(round: &Round, blogs: usize) -> Self {
        Self {
            took: round.took,
            cpu: round.cpu.as_secs_f64() * 1000.0 / blogs as f64,
            memory: round.memory,
            writes: writes_per_blog(round, blogs),
            reads: round.reads / blogs as f64,
        }
    }
}

/// Times of the plain client.
pub struct Floors {
    parallel: usize,
    /// With the operator's writes.
    pub same: Vec<Duration>,
    /// With the fewest possible writes.
    pub fewest: Vec<Duration>,
}

impl Floors {
    pub fn new(parallel: usize) -> Self {
        Self { parallel, same: Vec::new(), fewest: Vec::new() }
    }
}

pub struct Phases {
    pub quiet: u64,
    pub quiet_cpu: Duration,
    pub strangers: f64,
    pub restarts: Vec<Duration>,
    pub restarted: Memory,
    pub specs: Vec<Duration>,
    /// Times of the plain client: 200 titles and 200 Deployments.
    pub specs_floor: Vec<Duration>,
    /// Of each round, sorted.
    pub drifts: Vec<Vec<Duration>>,
}

pub struct Growth {
    pub blogs: usize,
    pub made: Made,
    pub floor: Duration,
    pub restart: Duration,
}

pub struct Report {
    pub blogs: usize,
    pub rounds: Vec<Made>,
    pub floors: Floors,
    pub phases: Phases,
    pub growth: Option<Growth>,
}

/// A row: description, value with unit, and target if one exists.
struct Row {
    what: String,
    value: f64,
    unit: &'static str,
    target: Option<f64>,
    go: &'static str,
}

fn row(
    what: impl Into<String>,
    value: f64,
    unit: &'static str,
    target: Option<f64>,
    go: &'static str,
) -> Row {
    Row { what: what.into(), value, unit, target, go }
}

impl fmt::Display for Row {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Row { what, value, unit, go, .. } = self;
        write!(formatter, "| {what} | {value:.2}{unit} |")?;
        match self.target {
            Some(0.0) => write!(formatter, " 0{unit} | |")?,
            Some(target) => write!(formatter, " ≤ {target}{unit} | {:.2} |", value / target)?,
            None => write!(formatter, " | |")?,
        }
        write!(formatter, " {go} |")
    }
}

fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut all: Vec<f64> = values.into_iter().collect();
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The quantile of sorted times, in seconds.
fn at_part(sorted: &[Duration], part: f64) -> f64 {
    let index = ((sorted.len() as f64 * part).ceil() as usize).saturating_sub(1);
    sorted.get(index).map_or(f64::NAN, Duration::as_secs_f64)
}

fn seconds(all: &[Duration]) -> f64 {
    median(all.iter().map(Duration::as_secs_f64))
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "| what | measured | target | measured / target | controller-runtime¹ |")?;
        writeln!(formatter, "|---|---|---|---|---|")?;
        for row in self.made_rows().into_iter().chain(self.phase_rows()).chain(self.growth_rows()) {
            writeln!(formatter, "{row}")?;
        }
        write!(
            formatter,
            "\n¹ A well-made operator in Go (controller-runtime 0.25, 16 workers, five objects a blog, 1,000 blogs), measured \
             elsewhere on the same class of machine; not in this run."
        )
    }
}

impl Report {
    fn of(&self, value: impl Fn(&Made) -> f64) -> f64 {
        median(self.rounds.iter().map(value))
    }

    /// The median of the rounds' ratios.
    ///
    /// The API server gets slower from round to round, as it keeps all objects. Only consecutive measurements are comparable.
    fn ratio(&self, floors: &[Duration]) -> f64 {
        let pairs = self.rounds.iter().zip(floors);
        median(pairs.map(|(made, floor)| made.took.as_secs_f64() / floor.as_secs_f64()))
    }

    fn made_rows(&self) -> Vec<Row> {
        let took = self.of(|made| made.took.as_secs_f64());
        let (same, fewest) = (seconds(&self.floors.same), seconds(&self.floors.fewest));
        let what = format!("{} blogs, {CHILDREN} objects each, all ready", self.blogs);
        let floor = format!("the plain client, the same writes, {} at a time", self.floors.parallel);
        vec![
            row(what, took, " s", None, ""),
            row(floor, same, " s", None, ""),
            row("the plain client, the fewest writes", fewest, " s", None, ""),
            row(
                "operator / plain client, the same writes",
                self.ratio(&self.floors.same),
                "",
                Some(1.1),
                "1.2 to 1.4",
            ),
            row("operator / plain client, the fewest writes", self.ratio(&self.floors.fewest), "", None, ""),
            row("writes a blog, Events included", self.of(|made| made.writes), "", None, "8"),
            row("reads a blog", self.of(|made| made.reads), "", None, ""),
            row("CPU a blog", self.of(|made| made.cpu), " ms", Some(3.0), "7.2 ms"),
            row("resident afterwards", self.of(|made| made.memory.now), " MiB", Some(40.0), "100 MiB"),
            row("resident at most", self.of(|made| made.memory.peak), " MiB", None, ""),
        ]
    }

    fn phase_rows(&self) -> Vec<Row> {
        let phases = &self.phases;
        let away = |part: f64| median(phases.drifts.iter().map(|drift| at_part(drift, part)));
        let quiet_cpu = phases.quiet_cpu.as_secs_f64() * 1000.0 / phases.quiet as f64;
        vec![
            row(format!("writes in {} quiet seconds, Leases left out", phases.quiet), 0.0, "", Some(0.0), ""),
            row("CPU in a quiet second", quiet_cpu, " ms", None, ""),
            row(
                "growth by 2,000 unrelated Secrets and ConfigMaps",
                phases.strangers,
                " MiB",
                Some(0.0),
                "+36 MiB (0 with a filtered cache)",
            ),
            row(
                "restart until quiet, without a write",
                seconds(&phases.restarts),
                " s",
                Some(1.0),
                "0.8 to 1.0 s",
            ),
            row("resident after the restart", phases.restarted.now, " MiB", Some(40.0), ""),
            row(
                "200 changed titles, until the last Deployment has changed",
                seconds(&phases.specs),
                " s",
                Some(1.0),
                "2.8 s",
            ),
            row(
                "the plain client: 200 titles, 200 Deployments",
                seconds(&phases.specs_floor),
                " s",
                None,
                "",
            ),
            row("100 deleted objects, back at p50", away(0.5), " s", None, ""),
            row("100 deleted objects, back at p99", away(0.99), " s", Some(0.5), "0.5 to 1.0 s"),
        ]
    }

    fn growth_rows(&self) -> Vec<Row> {
        let Some(Growth { blogs, made, floor, restart }) = &self.growth else { return Vec::new() };
        let took = made.took.as_secs_f64();
        vec![
            row(format!("{blogs} blogs, all ready"), took, " s", None, ""),
            row(
                format!("{blogs} blogs: operator / plain client"),
                took / floor.as_secs_f64(),
                "",
                Some(1.1),
                "",
            ),
            row(format!("{blogs} blogs: CPU a blog"), made.cpu, " ms", Some(3.0), ""),
            row(format!("{blogs} blogs: resident afterwards"), made.memory.now, " MiB", None, ""),
            row(format!("{blogs} blogs: restart until quiet"), restart.as_secs_f64(), " s", None, ""),
        ]
    }
}
