//! The orderly end: signals, and the drain before the listener closes.

use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::sleep;

use super::Phase;

/// After the drain, a proxy that still sends visitors hasn't learnt of the end. On a busy node that may take a while.
const QUIET: Duration = Duration::from_secs(3);

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// SIGTERM: proxies have to learn of it first.
    Orderly,
    /// SIGINT: a person at a terminal, who waits.
    Now,
}

/// SIGTERM and SIGINT. Made first of all: as process 1 of a container, nothing else makes these end it.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Starts listening.
    pub fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("failed to listen for signals");
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) -> Ending {
        tokio::select! {
            _ = self.terminate.recv() => Ending::Orderly,
            _ = self.interrupt.recv() => Ending::Now,
        }
    }
}

/// Ends the pages' server after the drain; a further signal means: now.
pub async fn leave(
    drain: Duration,
    phase: &watch::Sender<Phase>,
    signals: &mut Signals,
    mut pages: JoinHandle<()>,
) -> Result<(), JoinError> {
    let now = Phase::ShuttingDown { quiet: Duration::ZERO };
    tokio::select! {
        () = sleep(drain) => {
            // Where nobody has to be told of the end, nobody is waited for.
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
