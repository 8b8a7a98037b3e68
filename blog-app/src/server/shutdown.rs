//! Orderly shutdown: signals, and the drain before the listener closes.

use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::sleep;

use super::Phase;

/// Required time without new connections after the drain.
///
/// A proxy that still sends connections has not learned of the shutdown yet, which can take a while on a busy node.
const QUIET: Duration = Duration::from_secs(3);

/// Kind of shutdown that a signal requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// SIGTERM: proxies have to learn of the shutdown first.
    Orderly,
    /// SIGINT: a user at a terminal is waiting.
    Now,
}

/// Handlers of SIGTERM and SIGINT.
///
/// They are created first of all: as process 1 of a container, nothing else makes these signals end the process.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Installs the handlers.
    pub fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("failed to listen for signals");
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    /// Waits for the next signal.
    pub async fn next(&mut self) -> Ending {
        tokio::select! {
            _ = self.terminate.recv() => Ending::Orderly,
            _ = self.interrupt.recv() => Ending::Now,
        }
    }
}

/// Ends the blog's server after the drain.
///
/// A further signal ends it at once.
pub async fn leave(
    drain: Duration,
    phase: &watch::Sender<Phase>,
    signals: &mut Signals,
    mut pages: JoinHandle<()>,
) -> Result<(), JoinError> {
    let now = Phase::ShuttingDown { quiet: Duration::ZERO };
    tokio::select! {
        () = sleep(drain) => {
            // Without a drain no proxy has to learn of the shutdown.
            let quiet = if drain.is_zero() { Duration::ZERO } else { QUIET };
            let _ = phase.send(Phase::ShuttingDown { quiet });
        }
        _ = signals.next() => { let _ = phase.send(now); }
    }
    tokio::select! {
        ended = &mut pages => return ended,
        _ = signals.next() => { let _ = phase.send(now); }
    }
    pages.await
}
