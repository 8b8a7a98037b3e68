//! The watches of the children: what they tell goes to [`crate::seen`], and what of it is news leads to a reconcile.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use flaskblog_api::{OwnedKind, children::MANAGED_SELECTOR};
use futures::{
    StreamExt, TryStreamExt, future,
    stream::{self, BoxStream},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    Api, Client, Resource,
    api::{DynamicObject, PartialObjectMeta, WatchParams},
    core::DynamicResourceScope,
    runtime::{
        WatchStreamExt, watcher,
        watcher::{Config, InitialListStrategy},
    },
};
use tokio::time::timeout;
use tracing::debug;

use crate::{
    context::Context,
    controller::{WatchHealth, describe, watch_config},
    served::{LIFETIME, is_not_served},
    wire::Told,
};

/// An API server that hasn't begun to answer by then is asked as every one can be.
const PATIENCE: Duration = Duration::from_secs(5);

type Events = BoxStream<'static, watcher::Result<watcher::Event<Told>>>;

/// Watches of the children in one namespace, or in all.
#[derive(Clone)]
pub(crate) struct Children {
    client: Client,
    scope: Option<String>,
    ctx: Arc<Context>,
    streams: Arc<AtomicBool>,
}

impl Children {
    pub(crate) async fn new(client: Client, scope: Option<String>, ctx: Arc<Context>) -> Self {
        let streams = Arc::new(AtomicBool::new(streams_lists(&client, scope.as_deref()).await));
        look_at_kinds(&ctx).await;
        Self { client, scope, ctx, streams }
    }

    /// What the watch of a kind tells that is news; nothing while the cluster lacks the kind.
    pub(crate) fn watch(&self, kind: OwnedKind) -> Events {
        if !self.ctx.served.is_missing(kind) {
            self.ctx.seen.expect(kind, self.scope.as_deref());
        }
        if kind.may_be_missing() { self.when_served(kind) } else { self.always(kind) }
    }

    fn always(&self, kind: OwnedKind) -> Events {
        let children = self.clone();
        stream::repeat(()).flat_map(move |()| children.until_the_end(kind)).boxed()
    }

    /// It begins when the kind is served and ends when it no longer is, again and again: without the kind it would fail for
    /// ever, and with one look at the start it would never begin.
    fn when_served(&self, kind: OwnedKind) -> Events {
        let children = self.clone();
        let served = stream::repeat(Arc::clone(&self.ctx)).then(move |ctx| async move {
            look_at_kinds(&ctx).await;
            while ctx.served.is_missing(kind) {
                tokio::time::sleep(LIFETIME).await;
                look_at_kinds(&ctx).await;
            }
        });
        served.flat_map(move |()| children.until_the_end(kind)).boxed()
    }

    /// How children are watched. Where the API server can, a watch begins with what there is, object by object and from its cache
    /// ([KEP-3157](https://kep.k8s.io/3157)), which spares it and us lists by the page. Of children a cache is good enough: they
    /// are written with the uid that was seen. A FlaskBlog says what is wanted, so those are listed as they are now.
    fn config(&self) -> Config {
        let config = watch_config().labels(MANAGED_SELECTOR);
        if self.streams.load(Ordering::Relaxed) { config.streaming_lists() } else { config }
    }

    /// It ends with its kind, and when the API server can no longer do what it could, after a way back to an older one.
    fn until_the_end(&self, kind: OwnedKind) -> Events {
        let resource = kind.api_resource();
        let (scope, ctx) = (self.scope.clone(), Arc::clone(&self.ctx));
        let health = WatchHealth { ctx: Arc::clone(&self.ctx), kind: resource.kind.clone() };
        let (children, config) = (self.clone(), self.config());
        // Of Secrets only metadata travels: the operator never sees their data.
        let watch = if kind == OwnedKind::Secret {
            let api: Api<PartialObjectMeta<DynamicObject>> =
                scoped(&self.client, scope.as_deref(), &resource);
            watcher(api, config.clone()).map_ok(event_of_secret).boxed()
        } else {
            watcher(scoped(&self.client, scope.as_deref(), &resource), config.clone()).boxed()
        };
        watch
            .take_while(move |event| {
                future::ready(!event.as_ref().is_err_and(|error| children.ends(kind, &config, error)))
            })
            .default_backoff()
            .inspect(move |event| health.note(event))
            // The echo of our own writes leads to no reconcile: the one that made them has taken them in.
            .try_filter(move |event| future::ready(ctx.seen.note(kind, scope.as_deref(), event)))
            .boxed()
    }

    /// Whether a watch is over, and another way is to be taken.
    fn ends(&self, kind: OwnedKind, config: &Config, error: &watcher::Error) -> bool {
        let gone = kind.may_be_missing() && is_gone(error);
        if gone {
            self.ctx.served.has_gone(kind);
            self.ctx.seen.note(kind, self.scope.as_deref(), &watcher::Event::Init);
        }
        let refused = is_streamed(config) && is_invalid(error);
        if refused {
            self.streams.store(false, Ordering::Relaxed);
        }
        gone || refused
    }
}

/// Whether the API server can begin a watch with what there is.
async fn streams_lists(client: &Client, scope: Option<&str>) -> bool {
    let secrets: Api<PartialObjectMeta<DynamicObject>> =
        scoped(client, scope, &OwnedKind::Secret.api_resource());
    let params = WatchParams::default().labels(MANAGED_SELECTOR).timeout(1).initial_events();
    let outcome = timeout(PATIENCE, secrets.watch_metadata(&params, "0")).await;
    let error = outcome.map(|answer| answer.err().map(|error| describe(&error)));
    if error != Ok(None) {
        debug!(?error, "the API server streams no lists, so they are read by the page");
    }
    error == Ok(None)
}

/// Asks which kinds the cluster has. If it can't be asked, they count as there, and it is asked again.
async fn look_at_kinds(ctx: &Context) {
    if let Err(error) = ctx.served.look(&ctx.client.0).await {
        debug!(error = %describe(&error), "failed to ask which kinds the cluster has");
    }
}

fn is_streamed(config: &Config) -> bool {
    matches!(config.initial_list_strategy, InitialListStrategy::StreamingList)
}

/// Whether the API server doesn't know what it was asked for.
fn is_invalid(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::WatchStartFailed(kube::Error::Api(status)) if [400, 422].contains(&status.code))
}

/// Whether a watch failed since its kind isn't served any more.
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

fn event_of_secret(event: watcher::Event<PartialObjectMeta<DynamicObject>>) -> watcher::Event<Told> {
    let told = |secret: PartialObjectMeta<DynamicObject>| {
        Told::of_metadata(ObjectMeta { managed_fields: None, ..secret.metadata })
    };
    match event {
        watcher::Event::Init => watcher::Event::Init,
        watcher::Event::InitApply(object) => watcher::Event::InitApply(told(object)),
        watcher::Event::InitDone => watcher::Event::InitDone,
        watcher::Event::Apply(object) => watcher::Event::Apply(told(object)),
        watcher::Event::Delete(object) => watcher::Event::Delete(told(object)),
    }
}
