//! `operator run`: wires the parts and shuts them down on SIGTERM.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result, bail};
use k8s_controller::LeaderElection;
use kube::Config;
use tokio::signal::unix::{SignalKind, signal};
use tracing::info;
use tracing_subscriber::EnvFilter;

use crate::{
    context::Context,
    controller::{
        self, CRD,
        http_server::{self, Waiting},
        scheduler::stop_on,
    },
    k8s::clients::Clients,
    model::settings::{LogFormat, RunArgs, Settings},
};

/// Grace period of started reconciles after SIGTERM.
///
/// An interrupted reconcile does no harm, since reconciles are idempotent.
const DRAIN: Duration = Duration::from_secs(15);

/// Runs the operator until SIGTERM or SIGINT.
///
/// # Errors
/// When it can't start, or when it lost the Lease. The process must exit then, so that it writes nothing more.
pub async fn run(args: RunArgs) -> Result<()> {
    init_logging(&args)?;
    let config =
        Config::infer().await.context("failed to find a kubeconfig or an in-cluster configuration")?;
    let lease_namespace = args.lease_namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
    let identity = args.identity.clone().unwrap_or_else(random_identity);
    let clients = Clients::new(config).context("failed to make a client from the configuration")?;
    let ctx = Arc::new(Context::new(clients.calls.clone(), &identity, Settings::from(&args)));
    let waiting = Arc::new(Waiting::on(&[CRD]));
    let server = http_server::serve(args.listen, http_server::router(Arc::clone(&ctx), Arc::clone(&waiting)));

    let mut terminate = signal(SignalKind::terminate()).context("failed to listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("failed to listen for SIGINT")?;
    let stop = stop_on(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
    });
    let election = LeaderElection::new(clients.calls.clone(), &lease_namespace, &args.lease_name, &identity);
    info!(version = env!("CARGO_PKG_VERSION"), identity, namespaces = ?args.watch_namespaces, "starting");
    let work = async {
        controller::wait_for_crd(&clients.calls, &args.watch_namespaces, &waiting).await;
        let lead = async {
            ctx.metrics.leading.set(1);
            let watches = clients.watches.clone();
            controller::run(
                watches,
                Arc::clone(&ctx),
                &args.watch_namespaces,
                args.concurrency,
                stop.clone(),
            )
            .await;
        };
        election.with_lease(lead).await
    };
    tokio::select! {
        served = server => bail!("failed to serve {}: {:?}", args.listen, served.err()),
        led = work => match led {
            Some(()) => info!("stopped; the lease was given back"),
            None => bail!("lost the lease {lease_namespace}/{}; another instance leads now", args.lease_name),
        },
        words = ctx.watch_failures.blogs_unwatched() => {
            election.release().await;
            bail!("gave the lease {lease_namespace}/{} back: {words}", args.lease_name)
        }
        () = async { stop.clone().await; tokio::time::sleep(grace(&ctx)).await } => {
            election.release().await;
            info!("stopped with reconciles under way; they will be repeated");
        }
    }
    Ok(())
}

/// The grace period, which is zero for a standby instance.
fn grace(ctx: &Context) -> Duration {
    if ctx.metrics.leading.get() == 1 { DRAIN } else { Duration::ZERO }
}

fn init_logging(args: &RunArgs) -> Result<()> {
    use std::io::IsTerminal;
    let filter = log_filter(&args.log)?;
    let on_terminal = std::io::stderr().is_terminal();
    let json = match args.log_format {
        Some(format) => format == LogFormat::Json,
        None => !on_terminal,
    };
    let colour = on_terminal && std::env::var_os("NO_COLOR").is_none();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if json {
        builder.json().flatten_event(true).init();
    } else {
        builder.with_ansi(colour).init();
    }
    Ok(())
}

/// The log filter, which always excludes response bodies.
///
/// kube's client logs a body that it fails to parse. Its watches repeat each failure, which [`crate::k8s::watch_health`] logs
/// once a minute.
fn log_filter(asked: &str) -> Result<EnvFilter> {
    let filter = format!("kube_runtime::watcher=error,{asked},kube_client::client=error");
    EnvFilter::try_new(filter).context("failed to read the log filter")
}

/// A unique name for this instance, even on a shared host.
fn random_identity() -> String {
    let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "operator".into());
    format!("{host}-{:08x}", rand::random::<u32>())
}

#[cfg(test)]
mod tests {
    use std::{
        io::{self, Write},
        sync::Mutex,
    };

    use super::*;

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn no_log_filter_lets_bodies_of_answers_through() {
        for asked in ["info", "info,kube_client=warn", "trace,kube_client::client=trace"] {
            let log = Log::default();
            let writer = log.clone();
            let subscriber = tracing_subscriber::fmt()
                .with_env_filter(log_filter(asked).unwrap())
                .with_writer(move || writer.clone())
                .finish();
            tracing::subscriber::with_default(subscriber, || {
                tracing::warn!(target: "kube_client::client", "a body");
                tracing::warn!(target: "kube_client::client::tls", "a notice");
                tracing::info!("a line");
            });
            let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
            assert!(text.contains("a line") && !text.contains("a body"), "{asked}: {text}");
        }
    }
}
