//! The watch of the PVCs that hold the blogs' data.

use std::sync::Arc;

use flaskblog_api::children::MANAGED_SELECTOR;
use futures::{Stream, StreamExt, future};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::{
    Api, Client, Resource,
    runtime::{WatchStreamExt, watcher},
};

use crate::{
    context::Context,
    controller::{WatchHealth, watch_config},
    k8s::watch_health::watch_and_relist,
};

/// A stream of changed PVCs.
///
/// The StatefulSet controller copies the operator's labels to PVCs, and the watch selects by them.
pub(crate) fn changed_claims(
    client: &Client,
    scope: Option<&str>,
    ctx: Arc<Context>,
) -> impl Stream<Item = watcher::Result<PersistentVolumeClaim>> + Send + 'static {
    let claims: Api<PersistentVolumeClaim> = match scope {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    let kind = PersistentVolumeClaim::kind(&()).into_owned();
    let health = WatchHealth::new(&ctx, kind, scope.map(str::to_owned));
    watch_and_relist(claims, watch_config().labels(MANAGED_SELECTOR))
        .default_backoff()
        .inspect(move |event| health.note(event))
        // Errors are dropped: one would end the stream, and a common delay after it would stop all watches.
        .filter(move |event| future::ready(event.as_ref().is_ok_and(|event| ctx.claims.observe_event(event))))
        .touched_objects()
}
