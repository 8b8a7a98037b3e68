//! `operator plan` and `operator render`: the operator's changes for users and pipelines, without making them.

use anyhow::{Context as _, Result, bail};
use flaskblog_api::{Child, FlaskBlog, OwnedKind};
use kube::{Api, Client, Resource, ResourceExt, api::DynamicObject};
use serde_json::json;

use crate::{
    cli::crds::yaml_document,
    context::Context,
    k8s::clients::Clients,
    model::{
        blog_meta::BlogMeta,
        objects::Objects,
        observed::Observed,
        settings::{PlanArgs, RenderArgs, Settings},
    },
    reconcile::{
        actions::secrets,
        desired::{desired, desired_over},
        diff::{held, pending},
        observe::observe,
        steps::due_actions,
        validate::{separate_foreign, validate},
    },
};

/// Uid of a blog that isn't in any cluster yet.
const NO_UID: &str = "00000000-0000-0000-0000-000000000000";

/// The result of `operator plan`.
#[derive(Debug)]
pub struct Preview {
    /// Readable text, line by line.
    pub text: String,
    /// Number of objects that would change.
    pub changes: usize,
}

/// Compares the objects of a FlaskBlog with the cluster. Reads only.
///
/// # Errors
/// When the cluster or the file can't be read, or when the operator would refuse the FlaskBlog.
pub async fn plan(args: &PlanArgs) -> Result<Preview> {
    let mut config =
        kube::Config::infer().await.context("failed to find a kubeconfig or an in-cluster configuration")?;
    if let Some(namespace) = &args.namespace {
        config.default_namespace.clone_from(namespace);
    }
    let default_namespace = config.default_namespace.clone();
    let clients = Clients::new(config).context("failed to make a client from the configuration")?;
    let blog = wanted_blog(&clients.calls, args, &default_namespace).await?;
    preview(clients.calls, blog, Settings::for_image(&args.blog_image)).await
}

/// The comparison itself.
///
/// # Errors
/// As [`plan`].
pub async fn preview(client: Client, blog: FlaskBlog, settings: Settings) -> Result<Preview> {
    let id = BlogMeta::of(&blog)?;
    let ctx = Context::new(client, "plan", settings);
    let mut observed = observe(&ctx, &id, &blog).await?;
    separate_foreign(&id, &mut observed)?;
    let plan = validate(&blog, &id, &observed, &ctx.settings)?;
    let wanted = desired_over(&plan, &observed.children);
    if let Some(why) = plan.refused_of(&wanted).next() {
        bail!(why.clone());
    }
    let changes = pending(&plan, &wanted, &observed);
    let held = held(&plan, &wanted, &changes);
    let applied = Objects::applied(observed.children.clone());
    let due = due_actions(&blog, &plan, &observed, &applied);
    let lines: Vec<String> = changes.iter().map(ToString::to_string).chain(due).collect();
    let mut text: String = lines.iter().flat_map(|line| [line, "\n"]).collect();
    for line in &held.lines {
        text += &format!("waits for approval: {line}\n");
    }
    if lines.is_empty() {
        text += &format!("nothing: {}/{} is as its spec says\n", id.namespace, id.name);
    }
    Ok(Preview { text, changes: lines.len() })
}

/// The file's FlaskBlog merged with the cluster's, or the file's alone.
async fn wanted_blog(client: &Client, args: &PlanArgs, default_namespace: &str) -> Result<FlaskBlog> {
    let Some(file) = &args.file else {
        let name = args.name.as_deref().context("name a FlaskBlog, or give a file with --filename")?;
        let api: Api<FlaskBlog> = Api::namespaced(client.clone(), default_namespace);
        return api
            .get(name)
            .await
            .with_context(|| format!("failed to read FlaskBlog {default_namespace}/{name}"));
    };
    let mut blog = read_blog(file)?;
    let namespace = blog.namespace().unwrap_or_else(|| default_namespace.to_owned());
    let api: Api<FlaskBlog> = Api::namespaced(client.clone(), &namespace);
    let name = blog.name_any();
    let live =
        api.get_opt(&name).await.with_context(|| format!("failed to read FlaskBlog {namespace}/{name}"))?;
    blog.metadata.namespace = Some(namespace);
    blog.metadata.uid = Some(live.as_ref().and_then(ResourceExt::uid).unwrap_or_else(|| NO_UID.into()));
    if let Some(live) = live {
        let mut annotations = live.metadata.annotations.unwrap_or_default();
        annotations.extend(blog.metadata.annotations.take().unwrap_or_default());
        blog.metadata.annotations = Some(annotations);
        blog.status = live.status;
    }
    Ok(blog)
}

fn read_blog(file: &str) -> Result<FlaskBlog> {
    let text = if file == "-" {
        std::io::read_to_string(std::io::stdin()).context("failed to read the standard input")?
    } else {
        std::fs::read_to_string(file).with_context(|| format!("failed to read {file}"))?
    };
    let blog: FlaskBlog =
        crate::cli::crds::from_yaml(&text).with_context(|| format!("{file} is no FlaskBlog"))?;
    if blog.metadata.name.is_none() {
        bail!("{file} lacks metadata.name");
    }
    Ok(blog)
}

/// Every object of a FlaskBlog as YAML for `kubectl apply`.
///
/// The objects are those that the operator would apply, without an owner reference. Secrets have new random passwords, or are
/// left out.
///
/// # Errors
/// When the file can't be read or the operator would refuse the FlaskBlog.
pub fn render(args: &RenderArgs) -> Result<String> {
    let mut blog = read_blog(&args.file)?;
    let namespace = args.namespace.clone().or_else(|| blog.namespace()).unwrap_or_else(|| "default".into());
    blog.metadata.namespace = Some(namespace);
    blog.metadata.uid = Some(NO_UID.into());
    let id = BlogMeta::of(&blog)?;
    let plan = validate(&blog, &id, &Observed::default(), &Settings::for_image(&args.blog_image))?;
    let mut text = format!(
        "# {} {}/{} without an operator; made by `operator render`.\n",
        FlaskBlog::kind(&()),
        id.namespace,
        id.name
    );
    if args.create_namespace {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": id.namespace}});
        text += "---\n";
        text += &yaml_document(&namespace).context("failed to write YAML")?;
    }
    for (role, object) in desired(&plan).iter() {
        let is_secret = role.kind() == OwnedKind::Secret;
        if (is_secret && args.without_secrets) || (!is_secret && args.only_secrets) {
            continue;
        }
        text += "---\n";
        text += &yaml_document(&standalone(&id, role, object)?).context("failed to write YAML")?;
    }
    Ok(text)
}

/// The object without an owner reference. A Secret gets its first content.
fn standalone(id: &BlogMeta, role: Child, object: &DynamicObject) -> Result<DynamicObject> {
    let mut object = match role.kind() {
        OwnedKind::Secret => secrets::standalone(id, role, object)?,
        _ => object.clone(),
    };
    object.metadata.owner_references = None;
    Ok(object)
}
