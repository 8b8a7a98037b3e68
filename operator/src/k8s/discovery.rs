//! Discovery of optional kinds: the Prometheus operator's and the vertical autoscaler's.

use parking_lot::Mutex;
use std::{collections::BTreeSet, time::Duration};

use flaskblog_api::OwnedKind;
use kube::Client;
use tokio::time::Instant;

/// An answer counts for this long.
pub const LIFETIME: Duration = Duration::from_secs(30);

/// What the API server said last.
#[derive(Debug, Default)]
pub struct Discovery {
    missing: Mutex<BTreeSet<OwnedKind>>,
    /// When it said so. Who asks during a question waits for its answer.
    asked: tokio::sync::Mutex<Option<Instant>>,
}

impl Discovery {
    /// Asks the API server, unless it was asked a moment ago.
    ///
    /// # Errors
    /// When it doesn't answer; what was known before stays.
    pub async fn refresh(&self, client: &Client) -> Result<(), kube::Error> {
        let mut asked = self.asked.lock().await;
        if asked.is_some_and(|when| when.elapsed() < LIFETIME) {
            return Ok(());
        }
        *self.missing.lock() = missing(client).await?;
        *asked = Some(Instant::now());
        Ok(())
    }

    /// A watch has heard that its kind isn't there any more.
    pub fn mark_unserved(&self, kind: OwnedKind) {
        self.missing.lock().insert(kind);
    }

    /// The kinds that aren't served, as far as is known.
    #[must_use]
    pub fn missing(&self) -> BTreeSet<OwnedKind> {
        self.missing.lock().clone()
    }

    /// Whether it isn't served, as far as is known.
    #[must_use]
    pub fn is_missing(&self, kind: OwnedKind) -> bool {
        self.missing.lock().contains(&kind)
    }
}

/// Whether the path itself isn't there. The API server says so in plain text, without a reason.
#[must_use]
pub fn is_not_served(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

/// One question for each group. Everybody who is logged in may ask it.
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
