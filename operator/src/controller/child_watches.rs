//! Watches of the children: events update [`crate::cache::mutation`], and newer states trigger a reconcile.

use std::sync::Arc;

use flaskblog_api::{OwnedKind, children::MANAGED_SELECTOR};
use futures::{
    StreamExt, TryStreamExt, future,
    stream::{self, BoxStream},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    Api, Client, Resource,
    api::{DynamicObject, PartialObjectMeta},
    core::DynamicResourceScope,
    runtime::{WatchStreamExt, watcher},
};
use tracing::debug;

use crate::{
    cache::wire_format::LazyObject,
    context::Context,
    controller::{WatchHealth, describe, watch_config},
    k8s::{
        discovery::{LIFETIME, is_not_served},
        watch_health::watch_and_relist,
    },
};

type Events = BoxStream<'static, watcher::Result<watcher::Event<LazyObject>>>;

/// Watches of the children in one namespace, or in all.
#[derive(Clone)]
pub(crate) struct Children {
    client: Client,
    scope: Option<String>,
    ctx: Arc<Context>,
}

impl Children {
    pub(crate) async fn new(client: Client, scope: Option<String>, ctx: Arc<Context>) -> Self {
        look_at_kinds(&ctx).await;
        Self { client, scope, ctx }
    }

    /// Newer states of one kind, while the cluster serves that kind.
    pub(crate) fn watch(&self, kind: OwnedKind) -> Events {
        if !self.ctx.discovery.is_missing(kind) {
            self.ctx.children.register_watch(kind, self.scope.as_deref());
        }
        if kind.may_be_missing() { self.when_served(kind) } else { self.until_gone(kind) }
    }

    /// Runs the watch while the kind is served.
    ///
    /// A watch of a missing kind would fail until the kind is served. A check at startup alone would never start it.
    fn when_served(&self, kind: OwnedKind) -> Events {
        let children = self.clone();
        let served = stream::repeat(Arc::clone(&self.ctx)).then(move |ctx| async move {
            look_at_kinds(&ctx).await;
            while ctx.discovery.is_missing(kind) {
                tokio::time::sleep(LIFETIME).await;
                look_at_kinds(&ctx).await;
            }
        });
        served.flat_map(move |()| children.until_gone(kind)).boxed()
    }

    fn until_gone(&self, kind: OwnedKind) -> Events {
        let resource = kind.api_resource();
        let config = watch_config().labels(MANAGED_SELECTOR);
        let (children, scope, ctx) = (self.clone(), self.scope.clone(), Arc::clone(&self.ctx));
        let health = WatchHealth::new(&self.ctx, resource.kind.clone(), scope.clone());
        // Secrets are watched by metadata: their data never reaches the cache.
        let watch = if kind == OwnedKind::Secret {
            let api: Api<PartialObjectMeta<DynamicObject>> =
                scoped(&self.client, scope.as_deref(), &resource);
            watch_and_relist(api, config).map_ok(event_of_secret).boxed()
        } else {
            watch_and_relist(scoped(&self.client, scope.as_deref(), &resource), config).boxed()
        };
        watch
            .take_while(move |event| future::ready(!children.has_gone(kind, event)))
            .default_backoff()
            .inspect(move |event| health.note(event))
            // Errors are dropped: one would end the stream, and a common delay after it would stop all watches.
            .filter(|event| future::ready(event.is_ok()))
            // Watch events of the operator's own writes trigger no reconcile, since the cache already holds them.
            .try_filter(move |event| future::ready(ctx.children.observe_event(kind, scope.as_deref(), event)))
            .boxed()
    }

    /// Whether the cluster no longer serves the kind. If so, its objects are evicted.
    fn has_gone(&self, kind: OwnedKind, event: &watcher::Result<watcher::Event<LazyObject>>) -> bool {
        let gone = kind.may_be_missing() && event.as_ref().is_err_and(is_gone);
        if gone {
            self.ctx.discovery.mark_unserved(kind);
            self.ctx.children.observe_event(kind, self.scope.as_deref(), &watcher::Event::Init);
        }
        gone
    }
}

/// Refreshes the served kinds. After an error all kinds count as served, and discovery retries.
async fn look_at_kinds(ctx: &Context) {
    if let Err(error) = ctx.discovery.refresh(&ctx.client.0).await {
        debug!(error = %describe(&error), "failed to ask which kinds the cluster has");
    }
}

/// Whether a watch failed because its kind isn't served any more.
fn is_gone(error: &watcher::Error) -> bool {
    let source = match error {
        watcher::Error::InitialListFailed(source)
        | watcher::Error::WatchStartFailed(source)
        | watcher::Error::WatchFailed(source) => source,
        watcher::Error::WatchError(status) => return status.code == 404,
        _ => return false,
    };
    is_not_served(source)
}

fn scoped<K>(client: &Client, scope: Option<&str>, resource: &K::DynamicType) -> Api<K>
where
    K: Resource<Scope = DynamicResourceScope>,
{
    match scope {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, resource),
        None => Api::all_with(client.clone(), resource),
    }
}

fn event_of_secret(event: watcher::Event<PartialObjectMeta<DynamicObject>>) -> watcher::Event<LazyObject> {
    let told = |secret: PartialObjectMeta<DynamicObject>| {
        LazyObject::of_metadata(ObjectMeta { managed_fields: None, ..secret.metadata })
    };
    match event {
        watcher::Event::Init => watcher::Event::Init,
        watcher::Event::InitApply(object) => watcher::Event::InitApply(told(object)),
        watcher::Event::InitDone => watcher::Event::InitDone,
        watcher::Event::Apply(object) => watcher::Event::Apply(told(object)),
        watcher::Event::Delete(object) => watcher::Event::Delete(told(object)),
    }
}
