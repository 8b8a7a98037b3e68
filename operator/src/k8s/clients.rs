//! Two clients, since watches and calls need opposite timeouts on a silent network.

use std::time::Duration;

use kube::{Client, Config};

/// Timeout of a call in a reconcile.
const CALL_TIMEOUT: Duration = Duration::from_secs(20);
/// Timeout of a connection attempt.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Clients for watches and for calls.
#[derive(Clone)]
pub struct Clients {
    /// For watches: kube's defaults, which retry. Silence is normal for a watch.
    pub watches: Client,
    /// For all other calls, with a timeout.
    ///
    /// Its errors reach status, Events and the backoff soon.
    pub calls: Client,
}

impl Clients {
    /// Creates both from one configuration.
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
