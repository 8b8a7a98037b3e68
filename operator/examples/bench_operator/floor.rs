//! The floor: a plain parallel client that sends only the writes that a blog needs, all known beforehand.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Parser as _;
use flaskblog_api::{Child, FlaskBlog, OwnedKind, children::MANAGER};
use futures::{StreamExt, TryStreamExt, stream};
use kube::{
    Api, Client, ResourceExt,
    api::{DynamicObject, Patch, PatchParams, PostParams, ValidationDirective},
    core::{ApiResource, GroupVersionKind},
};
use operator::{
    model::{
        blog_meta::BlogMeta,
        observed::Observed,
        semantic_eq::matches_desired,
        settings::{Cli, Command, Settings},
    },
    reconcile::{actions::secrets::generate_secret, desired::desired, validate::validate},
};
use serde_json::{Value, json};

use crate::cluster::Cluster;

/// Objects that the bench's blogs don't enable.
const UNASKED: [Child; 6] = [
    Child::Autoscaler,
    Child::Ingress,
    Child::Dashboard,
    Child::Monitor,
    Child::Alerts,
    Child::Recommendation,
];

/// Number of objects per blog.
pub const CHILDREN: usize = Child::ALL.len() - UNASKED.len();

/// Number of writes of each kind per blog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recipe {
    /// Whether Secrets are also applied after their creation.
    pub secrets_applied: bool,
    /// Writes of the FlaskBlog's status.
    pub statuses: usize,
    /// Number of Events.
    pub events: usize,
}

impl Recipe {
    /// The minimum of any controller: each object once, one status before the pods are ready and one after.
    pub const FEWEST: Self = Self { secrets_applied: false, statuses: 2, events: 0 };

    pub fn writes(self) -> usize {
        CHILDREN + if self.secrets_applied { 2 } else { 0 } + self.statuses + self.events
    }
}

/// The operator's default settings.
fn settings() -> Result<Settings> {
    match Cli::try_parse_from(["operator", "run"]).context("operator run needs no arguments")?.command {
        Command::Run(args) => Ok(Settings::from(&args)),
        other => anyhow::bail!("operator run was understood as {other:?}"),
    }
}

fn wanted(blog: &FlaskBlog) -> Result<Vec<(Child, DynamicObject)>> {
    let id = BlogMeta::of(blog).context("a FlaskBlog without a name")?;
    let plan = validate(blog, &id, &Observed::default(), &settings()?)
        .context("a FlaskBlog of the bench is wrong")?;
    let wanted: Vec<_> = desired(&plan).iter().map(|(role, object)| (role, object.clone())).collect();
    ensure!(wanted.len() == CHILDREN, "a blog of the bench has {} objects", wanted.len());
    Ok(wanted)
}

/// A request, ready to be sent.
enum Write {
    Create(ApiResource, DynamicObject),
    Apply(ApiResource, DynamicObject),
    Status(String, Value),
}

fn writes(blog: &FlaskBlog, recipe: Recipe, ready: &Value) -> Result<Vec<Write>> {
    let mut all = Vec::new();
    let id = BlogMeta::of(blog)?;
    for (role, object) in wanted(blog)? {
        let resource = role.kind().api_resource();
        let is_secret = role.kind() == OwnedKind::Secret;
        if is_secret {
            all.push(Write::Create(resource.clone(), generate_secret(&id, role, &object)?));
        }
        if !is_secret || recipe.secrets_applied {
            all.push(Write::Apply(resource, object));
        }
    }
    for number in 0..recipe.events {
        all.push(event(blog, number));
    }
    for number in 1..=recipe.statuses {
        let mut status = ready.clone();
        if number < recipe.statuses {
            status["readyReplicas"] = json!(0);
            status["conditions"] = json!([]);
        }
        all.push(Write::Status(blog.name_any(), status));
    }
    Ok(all)
}

fn event(blog: &FlaskBlog, number: usize) -> Write {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("events.k8s.io", "v1", "Event"));
    let (name, namespace) = (blog.name_any(), blog.namespace().unwrap_or_default());
    let regarding = json!({"apiVersion": "flaskblog.dev/v1alpha1", "kind": "FlaskBlog", "name": name,
        "namespace": namespace, "uid": blog.uid(), "resourceVersion": blog.resource_version()});
    let object = DynamicObject::new(&format!("{name}.{number:x}"), &resource).data(json!({
        "action": "Reconcile", "reason": "Created", "note": format!("Created Deployment {name}"), "type": "Normal",
        "eventTime": "2026-01-01T00:00:00.000000Z", "regarding": regarding,
        "reportingController": "flaskblog.dev/operator", "reportingInstance": "bench"}));
    Write::Create(resource, object)
}

async fn send(client: &Client, namespace: &str, write: &Write) -> Result<()> {
    match write {
        Write::Create(resource, object) => {
            let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, resource);
            let params = PostParams { field_manager: Some(MANAGER.into()), ..PostParams::default() };
            api.create(&params, object).await.context("the plain client failed to create")?;
        }
        Write::Apply(resource, object) => {
            let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, resource);
            let params = PatchParams {
                field_validation: Some(ValidationDirective::Strict),
                ..PatchParams::apply(MANAGER).force()
            };
            api.patch(&object.name_any(), &params, &Patch::Apply(object))
                .await
                .context("the plain client failed to apply")?;
        }
        Write::Status(name, status) => {
            let api: Api<FlaskBlog> = Api::namespaced(client.clone(), namespace);
            let patch = Patch::Merge(json!({"status": status}));
            api.patch_status(name, &PatchParams::default(), &patch)
                .await
                .context("the plain client failed to write a status")?;
        }
    }
    Ok(())
}

/// Sends everything, `parallel` blogs at a time, each blog's writes in order.
///
/// Returns when it began.
pub async fn build(
    client: &Client,
    namespace: &str,
    blogs: &[FlaskBlog],
    recipe: Recipe,
    ready: &Value,
    parallel: usize,
) -> Result<Instant> {
    let all = blogs.iter().map(|blog| writes(blog, recipe, ready)).collect::<Result<Vec<_>>>()?;
    let started = Instant::now();
    stream::iter(all)
        .map(Ok)
        .try_for_each_concurrent(parallel, |writes| async move {
            for write in &writes {
                send(client, namespace, write).await?;
            }
            Ok::<_, anyhow::Error>(())
        })
        .await?;
    Ok(started)
}

/// Changes the titles of a namespace's first blogs, and their Deployments, with the fewest requests.
pub async fn retitle(
    cluster: &Cluster,
    namespace: &str,
    count: usize,
    title: &str,
    parallel: usize,
) -> Result<Duration> {
    let blogs: Api<FlaskBlog> = Api::namespaced(cluster.admin.clone(), namespace);
    let started = Instant::now();
    stream::iter(0..count)
        .map(Ok)
        .try_for_each_concurrent(parallel, |number| {
            let blogs = blogs.clone();
            async move {
                let patch = Patch::Merge(json!({"spec": {"title": title}}));
                let blog = blogs.patch(&format!("blog-{number}"), &PatchParams::default(), &patch).await;
                for (role, object) in wanted(&blog.context("failed to change a title")?)? {
                    if role == Child::App {
                        send(&cluster.plain, namespace, &Write::Apply(role.kind().api_resource(), object))
                            .await?;
                    }
                }
                Ok::<_, anyhow::Error>(())
            }
        })
        .await?;
    Ok(started.elapsed())
}

/// Fails unless every object of these blogs exists and has its desired state.
pub async fn check_objects(cluster: &Cluster, namespace: &str, blogs: &[FlaskBlog]) -> Result<()> {
    let mut live = std::collections::BTreeMap::new();
    for kind in OwnedKind::ALL {
        for object in cluster.list(namespace, kind).await? {
            live.insert((kind, object.name_any()), object);
        }
    }
    for blog in blogs {
        for (role, object) in wanted(blog)? {
            let found = live.get(&(role.kind(), object.name_any()));
            let found = found.with_context(|| format!("{role:?} of {} is missing", blog.name_any()))?;
            ensure!(matches_desired(&object, found), "{role:?} of {} isn't as wanted", blog.name_any());
        }
    }
    Ok(())
}
