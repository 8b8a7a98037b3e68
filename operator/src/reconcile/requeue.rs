//! Requeue delays of a blog without a watch event.

use std::time::Duration;

use flaskblog_api::Child;
use kube::api::DynamicObject;
use tokio::time::Instant;

use crate::{context::Context, k8s::api::child_api, model::blog_meta::BlogMeta};

/// Longest interval between reads of Deployment and StatefulSet.
///
/// It bounds the effect of a lost watch event.
const LONGEST_UNREAD: Duration = Duration::from_secs(60);
/// The children whose status determines `Ready`.
const WORKLOADS: [Child; 2] = [Child::App, Child::Database];

/// Requeue delay of a blog that doesn't match its spec yet.
pub fn requeue_while_progressing(ctx: &Context, id: &BlogMeta, changed: bool) -> Duration {
    if changed {
        ctx.pace.reset(&id.namespace, &id.name);
    }
    ctx.pace.next_delay(&id.namespace, &id.name)
}

/// Requeue delay of a progressing blog.
///
/// Its next reconcile is due after `reconcile_in`.
///
/// After the quick reconciles its workloads are read again, since their watch events may be lost. The reconcile reads them, or
/// a separate read does if the reconcile is late.
pub fn next_wake_up(ctx: &Context, id: &BlogMeta, reconcile_in: Duration) -> Duration {
    if reconcile_in > LONGEST_UNREAD {
        ctx.pace.plan_read(id, Instant::now() + reconcile_in);
        return LONGEST_UNREAD;
    }
    if ctx.pace.is_slow(id) {
        distrust_workloads(ctx, id);
    }
    reconcile_in
}

/// Reads the versions of a blog's workloads, if planned (client required).
///
/// Returns the next delay if no watch event was lost.
pub async fn read_workloads(ctx: &Context, id: &BlogMeta) -> Option<Duration> {
    let reconcile_at = ctx.pace.take_read(id)?;
    for role in WORKLOADS {
        let (kind, name) = (role.kind(), role.name(&id.name));
        if ctx.children.is_absent(kind, &id.namespace, &name) {
            continue;
        }
        let known = ctx.children.current(kind, &id.namespace, &name)?;
        let read = child_api::<DynamicObject>(&ctx.client.0, id, kind).get_metadata_opt(&name).await;
        // The reconcile reports a failed read.
        if read.ok().flatten().and_then(|read| read.metadata.resource_version)
            != known.metadata.resource_version
        {
            distrust_workloads(ctx, id);
            return None;
        }
    }
    Some(next_wake_up(ctx, id, reconcile_at.saturating_duration_since(Instant::now())))
}

fn distrust_workloads(ctx: &Context, id: &BlogMeta) {
    for role in WORKLOADS {
        ctx.children.invalidate_object(role.kind(), &id.namespace, &role.name(&id.name));
    }
}
