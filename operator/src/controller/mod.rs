//! Watches and the work queue: which change of which object triggers which blog's reconcile.

pub mod child_watches;
pub mod claim_watch;
pub mod http_server;
pub mod reconciler;
pub mod scheduler;
pub mod unparsable;

use std::{sync::Arc, time::Duration};

use flaskblog_api::{FlaskBlog, OwnedKind};
use futures::{Stream, StreamExt, TryStreamExt, channel::mpsc, future};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::ListParams,
    runtime::{
        Controller, Predicate, PredicateConfig, WatchStreamExt,
        controller::Config,
        predicates,
        reflector::{self, ObjectRef, store::Writer},
        watcher,
        watcher::Config as WatchConfig,
    },
};
use tracing::{debug, info, warn};

use crate::{
    cache::{changed_claims::blog_of_claim, unparsable_blogs::ReceivedBlog, wire_format::LazyObject},
    context::Context,
    controller::{
        child_watches::Children,
        http_server::Waiting,
        reconciler::{error_policy, reconcile},
        scheduler::{Scheduler, Stop},
        unparsable::report_all,
    },
    k8s::watch_health::{Watch, watch_and_relist},
    telemetry::metrics::Watched,
};

/// Name under which `/readyz` lists the missing CRD.
pub const CRD: &str = "the CustomResourceDefinition flaskblogs.flaskblog.dev";
/// Name under which `/readyz` lists the missing permission on FlaskBlogs.
const RIGHTS: &str = "the right to list flaskblogs.flaskblog.dev: upgrade the chart, or grant it";
/// Seconds after which the server ends a watch.
///
/// The watcher then reconnects, so a dead connection is noticed soon.
const WATCH_SECONDS: u32 = 60;
/// Largest number of started reconciles.
///
/// Most of them wait for a permit. The others stay in the queue, which merges changes of one blog.
const UNDER_WAY: u16 = 256;
/// Capacity of the queue of statuses that another client overwrote.
const OVERWRITTEN: usize = 256;
/// Objects per page of the first list, which bounds memory at startup.
const PAGE: u32 = 50;

/// Runs until `stop`, then finishes the started reconciles. An empty `namespaces` means all.
pub async fn run(watches: Client, ctx: Arc<Context>, namespaces: &[String], concurrency: u16, stop: Stop) {
    let scopes: Vec<Option<String>> =
        if namespaces.is_empty() { vec![None] } else { namespaces.iter().cloned().map(Some).collect() };
    let controllers = scopes
        .into_iter()
        .map(|scope| run_in(watches.clone(), Arc::clone(&ctx), scope, concurrency, stop.clone()));
    tokio::select! {
        _ = future::join_all(controllers) => {}
        () = report_all(&ctx) => {}
    }
}

async fn run_in(watches: Client, ctx: Arc<Context>, scope: Option<String>, concurrency: u16, stop: Stop) {
    let writer = Writer::default();
    let blogs = writer.as_reader();
    let (overwritten, repairs) = mpsc::channel(OVERWRITTEN);
    let changed = changed_blogs(&watches, scope.as_deref(), Arc::clone(&ctx), writer, overwritten);
    let mut controller = Controller::for_stream(changed, blogs.clone())
        .reconcile_on(repairs)
        .with_config(Config::default().concurrency(UNDER_WAY.max(concurrency)))
        .graceful_shutdown_on(stop.clone());
    let scheduler = Scheduler::new(concurrency, stop);
    let (claim_client, claim_scope) = (watches.clone(), scope.clone());
    let children = Children::new(watches, scope, Arc::clone(&ctx)).await;
    for kind in OwnedKind::ALL {
        let watch = children.watch(kind);
        let ctx = Arc::clone(&ctx);
        let changed = move |object| owner(object).inspect(|blog| ctx.pace.reset_of(blog));
        controller = controller.watches_stream_with(watch.touched_objects(), changed, kind.api_resource());
    }
    let claims = claim_watch::changed_claims(&claim_client, claim_scope.as_deref(), Arc::clone(&ctx));
    let pace = Arc::clone(&ctx);
    let changed = move |claim| blog_of_claim(&claim).inspect(|blog| pace.pace.reset_of(blog));
    controller = controller.watches_stream(claims, changed);
    controller
        .run(
            move |blog, ctx| reconcile(blog, ctx, scheduler.clone(), blogs.clone()),
            error_policy,
            Arc::clone(&ctx),
        )
        .for_each(|result| {
            match result {
                Ok((blog, _)) => debug!(object = %blog, "reconciled"),
                // The event of a retained Secret of a deleted blog, or the last event of a blog.
                Err(kube::runtime::controller::Error::ObjectNotFound(blog)) => {
                    let namespace = blog.namespace.as_deref().unwrap_or_default();
                    if !ctx.unparsable.contains(namespace, &blog.name) {
                        ctx.forget_readiness(namespace, &blog.name);
                    }
                    debug!(object = %blog, "an object of a blog that isn't there");
                }
                Err(error) => warn!(error = %describe(&error), "reconcile failed"),
            }
            future::ready(())
        })
        .await;
}

/// FlaskBlogs whose spec or annotations changed.
///
/// The writer's store follows all of them.
fn changed_blogs(
    client: &Client,
    scope: Option<&str>,
    ctx: Arc<Context>,
    writer: Writer<FlaskBlog>,
    mut overwritten: mpsc::Sender<ObjectRef<FlaskBlog>>,
) -> impl Stream<Item = watcher::Result<FlaskBlog>> + Send + 'static {
    let blogs: Api<ReceivedBlog> = match scope {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    let (scope, parsing) = (scope.map(str::to_owned), Arc::clone(&ctx));
    let health = WatchHealth::new(&ctx, FlaskBlog::kind(&()).into_owned(), scope.clone());
    let watch = watch_and_relist(blogs, watch_config())
        .default_backoff()
        .inspect(move |event| {
            health.note(event);
            if let Ok(watcher::Event::Delete(blog)) = event {
                health.ctx.forget(&blog.uid().unwrap_or_default());
            }
        })
        .filter_map(move |event| {
            future::ready(event.map(|event| parsing.unparsable.sort_out(scope.as_deref(), event)).transpose())
        })
        // Errors are dropped: one would end the stream, and a common delay after it would stop all watches.
        .filter(|event| future::ready(event.is_ok()))
        // Managed fields of a FlaskBlog are unused here and would be most of the cached object.
        .modify(|blog| blog.metadata.managed_fields = None);
    let (told, pace, changed) = (writer.as_reader(), Arc::clone(&ctx), Arc::clone(&ctx));
    reflector::reflector(writer, watch)
        .applied_objects()
        .inspect_ok(move |blog| {
            if ctx.status_guard.is_overwritten(blog) {
                pace.pace.reset_of(&ObjectRef::from_obj(blog));
                // With a full queue, the next reconcile repairs the status.
                let _ = overwritten.try_send(ObjectRef::from_obj(blog));
            }
            if let Some(blog) = told.get(&ObjectRef::from_obj(blog)) {
                ctx.status_writes.observe_event(blog);
            }
        })
        // The operator's own status writes trigger no reconcile: they would also cancel the backoff after an error. An
        // annotation does, since users approve restarts by it.
        .predicate_filter(predicates::generation.combine(predicates::annotations), PredicateConfig::default())
        .inspect_ok(move |blog| changed.pace.reset_of(&ObjectRef::from_obj(blog)))
}

/// Records the health of one watch.
pub(crate) struct WatchHealth {
    ctx: Arc<Context>,
    watch: Watch,
}

impl WatchHealth {
    pub(crate) fn new(ctx: &Arc<Context>, kind: String, scope: Option<String>) -> Self {
        Self { ctx: Arc::clone(ctx), watch: Watch { kind, scope } }
    }

    pub(crate) fn note<T>(&self, event: &Result<watcher::Event<T>, watcher::Error>) {
        match event {
            // Init precedes the list and proves no success.
            Ok(watcher::Event::Init) => {}
            Ok(watcher::Event::InitApply(_) | watcher::Event::InitDone) => {
                self.ctx.watch_failures.worked(&self.watch, true);
            }
            Ok(_) => self.ctx.watch_failures.worked(&self.watch, false),
            Err(error) => {
                let (words, kind) = (describe(error), self.watch.kind.clone());
                self.ctx.metrics.watch_errors.get_or_create(&Watched { kind }).inc();
                let began = matches!(error, watcher::Error::WatchFailed(_));
                if self.ctx.watch_failures.failed(&self.watch, words.clone(), began) {
                    warn!(error = %words, "{} failed; it is tried again", self.watch);
                }
            }
        }
    }
}

pub(crate) fn watch_config() -> WatchConfig {
    WatchConfig::default().timeout(WATCH_SECONDS).page_size(PAGE)
}

/// The blog of an object, by owner reference or label.
///
/// An object that outlives its owner has only the label.
fn owner(object: LazyObject) -> Option<ObjectRef<FlaskBlog>> {
    let owner = object.owner_references().iter().find(|owner| owner.kind == FlaskBlog::kind(&())).cloned();
    let name = match owner {
        Some(owner) => owner.name,
        None => object.labels().get("app.kubernetes.io/instance")?.clone(),
    };
    Some(ObjectRef::new(&name).within(&object.namespace()?))
}

/// An error with all its causes.
///
/// The outermost error alone is often only "watch failed".
pub(crate) fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = cause.source();
    }
    text
}

/// Waits until the CRD is served.
///
/// A chart may install it shortly after the operator, and without it every watch fails.
pub async fn wait_for_crd(client: &Client, namespaces: &[String], waiting: &Waiting) {
    let blogs: Api<FlaskBlog> = match namespaces.first() {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    let mut delay = Duration::from_millis(250);
    loop {
        match blogs.list_metadata(&ListParams::default().limit(1)).await {
            Ok(_) => break,
            Err(kube::Error::Api(status)) if status.is_not_found() => {
                info!("waiting for {CRD}: apply crds/ or install the chart with crds.enabled=true");
            }
            Err(error) => {
                if matches!(&error, kube::Error::Api(status) if status.is_forbidden()) {
                    waiting.add(RIGHTS);
                }
                warn!(error = %describe(&error), "failed to list FlaskBlogs; trying again");
            }
        }
        tokio::time::sleep(delay).await;
        delay = (delay * 2).min(Duration::from_secs(10));
    }
    waiting.done(CRD);
    waiting.done(RIGHTS);
}
