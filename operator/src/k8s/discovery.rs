//! Discovery of optional kinds: those of the Prometheus operator and the vertical autoscaler.

use parking_lot::Mutex;
use std::{collections::BTreeSet, time::Duration};

use flaskblog_api::OwnedKind;
use kube::Client;
use tokio::time::Instant;

/// How long a discovery result is cached.
pub const LIFETIME: Duration = Duration::from_secs(30);

/// The last discovery result.
#[derive(Debug, Default)]
pub struct Discovery {
    missing: Mutex<BTreeSet<OwnedKind>>,
    /// Time of the last request. Concurrent callers share one request.
    asked: tokio::sync::Mutex<Option<Instant>>,
}

impl Discovery {
    /// Requests the served kinds, unless the cached result is fresh.
    ///
    /// # Errors
    /// When the API server doesn't answer. The previous result stays.
    pub async fn refresh(&self, client: &Client) -> Result<(), kube::Error> {
        let mut asked = self.asked.lock().await;
        if asked.is_some_and(|when| when.elapsed() < LIFETIME) {
            return Ok(());
        }
        *self.missing.lock() = missing(client).await?;
        *asked = Some(Instant::now());
        Ok(())
    }

    /// Records that a kind isn't served any more, as its watch reported.
    pub fn mark_unserved(&self, kind: OwnedKind) {
        self.missing.lock().insert(kind);
    }

    /// The kinds that aren't served, by the last result.
    #[must_use]
    pub fn missing(&self) -> BTreeSet<OwnedKind> {
        self.missing.lock().clone()
    }

    /// Whether the kind isn't served, by the last result.
    #[must_use]
    pub fn is_missing(&self, kind: OwnedKind) -> bool {
        self.missing.lock().contains(&kind)
    }
}

/// Whether the path itself is missing.
///
/// The API server reports this in plain text, without a reason.
#[must_use]
pub fn is_not_served(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

/// Sends one request for each group. Every authenticated client has permission for it.
async fn missing(client: &Client) -> Result<BTreeSet<OwnedKind>, kube::Error> {
    let kinds = || OwnedKind::ALL.into_iter().filter(|kind| kind.may_be_missing());
    let mut served = BTreeSet::new();
    for group in kinds().map(|kind| kind.api_resource().api_version).collect::<BTreeSet<_>>() {
        match client.list_api_group_resources(&group).await {
            Ok(list) => served.extend(list.resources.into_iter().map(|one| (group.clone(), one.kind))),
            Err(error) if is_not_served(&error) => {}
            Err(error) => return Err(error),
        }
    }
    let is_served = |kind: &OwnedKind| {
        let resource = kind.api_resource();
        served.contains(&(resource.api_version, resource.kind))
    };
    Ok(kinds().filter(|kind| !is_served(kind)).collect())
}
