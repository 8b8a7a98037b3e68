//! The operator as a child process, with measurements from the kernel and from its own metrics.

use std::{
    collections::BTreeMap,
    fs,
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::sleep,
};

/// Time limit of a shutdown, in which the operator finishes its reconciles.
const STOP: Duration = Duration::from_secs(20);
/// Ticks of the kernel's clock per second, the same on every supported Linux.
const TICKS: f64 = 100.0;

/// How operators are started.
pub struct Launch {
    pub binary: PathBuf,
    pub kubeconfig: PathBuf,
    pub lease_namespace: String,
    pub log: PathBuf,
}

/// A running operator, killed on drop.
pub struct Operator {
    child: Child,
    port: u16,
    pub started: Instant,
}

/// Resident memory in MiB.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    pub now: f64,
    pub peak: f64,
}

impl Operator {
    /// Starts an operator that watches this namespace, with default settings.
    pub fn start(launch: &Launch, namespace: &str) -> Result<Self> {
        let port = free_port()?;
        let log = fs::File::options().create(true).append(true).open(&launch.log);
        let log = log.with_context(|| format!("failed to open {}", launch.log.display()))?;
        let started = Instant::now();
        let child = Command::new(&launch.binary)
            .args(["run", "--watch-namespace", namespace, "--lease-namespace", &launch.lease_namespace])
            .args(["--listen", &format!("127.0.0.1:{port}")])
            .env("KUBECONFIG", &launch.kubeconfig)
            // As in the chart.
            .env("MIMALLOC_PURGE_DELAY", "0")
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .with_context(|| format!("failed to start {}; build it first", launch.binary.display()))?;
        Ok(Self { child, port, started })
    }

    /// Ends it as a cluster would, and waits until it has released its Lease.
    pub async fn stop(mut self) -> Result<()> {
        let status = Command::new("kill").arg(self.child.id().to_string()).status();
        ensure!(
            status.context("failed to run kill")?.success(),
            "the operator had ended by itself; see its log"
        );
        let deadline = Instant::now() + STOP;
        while self.child.try_wait().context("failed to wait for the operator")?.is_none() {
            ensure!(Instant::now() < deadline, "the operator didn't end within {} s", STOP.as_secs());
            sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// Fails if it has ended.
    pub fn check(&mut self) -> Result<()> {
        match self.child.try_wait().context("failed to query the operator's process")? {
            Some(status) => bail!("the operator has ended with {status}; see its log"),
            None => Ok(()),
        }
    }

    /// CPU time so far, in user space and in the kernel.
    pub fn cpu(&self) -> Result<Duration> {
        let text = self.proc("stat")?;
        let after_name = text.rsplit(')').next().unwrap_or_default();
        let fields = after_name.split_whitespace().skip(11).take(2);
        let ticks: u64 = fields.filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
        Ok(Duration::from_secs_f64(ticks as f64 / TICKS))
    }

    /// Resident memory.
    pub fn memory(&self) -> Result<Memory> {
        let text = self.proc("status")?;
        let kib = |field: &str| -> Result<f64> {
            let line = text.lines().find_map(|line| line.strip_prefix(field));
            let number = line.and_then(|line| line.split_whitespace().next());
            let number = number.with_context(|| format!("/proc says nothing of {field}"))?;
            Ok(number.parse::<f64>().context("/proc gives no number")? / 1024.0)
        };
        Ok(Memory { now: kib("VmRSS:")?, peak: kib("VmHWM:")? })
    }

    fn proc(&self, file: &str) -> Result<String> {
        let path = format!("/proc/{}/{file}", self.child.id());
        fs::read_to_string(&path).with_context(|| format!("failed to read {path}; has the operator ended?"))
    }

    /// Reads its own metrics: name with labels, and value.
    pub async fn metrics(&self) -> Result<BTreeMap<String, f64>> {
        let address = format!("127.0.0.1:{}", self.port);
        let mut stream =
            TcpStream::connect(&address).await.context("failed to reach the operator's metrics")?;
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await.context("failed to request metrics")?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await.context("failed to read the operator's metrics")?;
        Ok(text
            .lines()
            .filter_map(|line| line.rsplit_once(' '))
            .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
            .collect())
    }

    /// The sum of all metrics with this prefix.
    ///
    /// Zero if none exists yet.
    pub async fn metric(&self, prefix: &str) -> f64 {
        let Ok(metrics) = self.metrics().await else { return 0.0 };
        metrics.iter().filter(|(name, _)| name.starts_with(prefix)).map(|(_, value)| value).sum()
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("failed to find a free port")?;
    Ok(listener.local_addr().context("failed to read the free port")?.port())
}
