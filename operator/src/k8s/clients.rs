//! Two clients, because watches and calls want opposite things from a network that has gone silent.

use std::time::Duration;

use kube::{Client, Config};

/// A call of a reconcile that isn't answered by then has failed.
const CALL_TIMEOUT: Duration = Duration::from_secs(20);
/// So has a connection that isn't made by then.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Clients for watches and for calls.
#[derive(Clone)]
pub struct Clients {
    /// For watches: kube's defaults, which retry by themselves. Silence is normal for a watch.
    pub watches: Client,
    /// For everything else: fails soon, so that the error reaches status, Events and the back-off.
    pub calls: Client,
}

impl Clients {
    /// Makes both from one configuration.
    ///
    /// # Errors
    /// When the configuration's certificates or credentials can't be used.
    pub fn new(config: Config) -> Result<Self, kube::Error> {
        let mut watches = config;
        watches.connect_timeout = Some(CONNECT_TIMEOUT);
        let mut calls = watches.clone();
        calls.read_timeout = Some(CALL_TIMEOUT);
        calls.write_timeout = Some(CALL_TIMEOUT);
        calls.reset_reader_on_write = true;
        calls.default_retry = false;
        Ok(Self { watches: Client::try_from(watches)?, calls: Client::try_from(calls)? })
    }
}
