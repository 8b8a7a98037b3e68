//! Reports FlaskBlogs that can't be parsed, each in its own status.

use flaskblog_api::{FlaskBlog, FlaskBlogStatus, children::MANAGER};
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::json;
use tracing::{info, warn};

use crate::{
    cache::unparsable_blogs::{ReceivedBlog, Unparsable},
    context::Context,
    model::{
        blog_meta::BlogMeta,
        error::{Error, Invalid},
        kubectl::edit_blog,
    },
    reconcile::{
        events,
        status::{merged, report_of_error},
    },
};

/// Reports each unparsable FlaskBlog by status and Event, while this process leads.
pub async fn report_all(ctx: &Context) {
    loop {
        let blog = ctx.unparsable.next().await;
        if let Err(error) = report(ctx, &blog).await {
            let uid = blog.stub.metadata.uid.clone().unwrap_or_default();
            warn!(%error, "failed to report an unparsable FlaskBlog");
            ctx.unparsable.retry(&blog, ctx.count_failure(&uid, 1.0));
        }
    }
}

async fn report(ctx: &Context, unparsable: &Unparsable) -> Result<(), Error> {
    let blog = &unparsable.stub;
    let id = BlogMeta::of(blog)?;
    ctx.show_readiness(&id, None);
    let (name, cause) = (id.name.clone(), unparsable.cause.clone());
    let error = Error::Invalid(Invalid::Unparsable { name, cause, edit: edit_blog(&id) });
    let Some(next) = merged(blog, &report_of_error(blog, &id, &error)) else { return Ok(()) };
    if blog.metadata.deletion_timestamp.is_some() || !has_news(blog, &next) {
        return Ok(());
    }
    info!(blog.namespace = id.namespace, blog.name = id.name, %error, "an unparsable FlaskBlog");
    let written = write(ctx, blog, &id, &next).await;
    events::publish(ctx, blog, &[], Some(&next), Some(&error)).await;
    written?;
    ctx.forget_failures(&id.uid);
    Ok(())
}

/// Whether the conditions differ. The rest of the status isn't known.
fn has_news(blog: &FlaskBlog, next: &FlaskBlogStatus) -> bool {
    blog.status.as_ref().is_none_or(|before| before.conditions != next.conditions)
}

/// Writes only the conditions, so that the rest of the status stays.
async fn write(ctx: &Context, blog: &FlaskBlog, id: &BlogMeta, next: &FlaskBlogStatus) -> Result<(), Error> {
    let api: Api<ReceivedBlog> = Api::namespaced(ctx.client.0.clone(), &id.namespace);
    ctx.metrics.api_writes.get_or_create(&("status", "FlaskBlog".to_owned()).into()).inc();
    let patch = json!({
        "metadata": {"resourceVersion": blog.metadata.resource_version},
        "status": {"observedGeneration": next.observed_generation, "conditions": next.conditions},
    });
    let params = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
    match api.patch_status(&id.name, &params, &Patch::Merge(patch)).await {
        // Stale or deleted: the watch is about to deliver a newer version or the deletion.
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
        Ok(_) => Ok(()),
        Err(source) => Err(Error::Write {
            verb: "write the status of",
            kind: "FlaskBlog".into(),
            name: id.name.clone(),
            source: Box::new(source),
        }),
    }
}
