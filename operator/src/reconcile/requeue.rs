//! When a blog is reconciled again without a watch event.

use std::time::Duration;

use flaskblog_api::Child;
use kube::api::DynamicObject;
use tokio::time::Instant;

use crate::{context::Context, k8s::api::child_api, model::blog_meta::BlogMeta};

/// Deployment and StatefulSet are read at least this often: a lost event of theirs is made good in one minute.
const LONGEST_UNREAD: Duration = Duration::from_secs(60);
/// The children whose status decides on `Ready`.
const WORKLOADS: [Child; 2] = [Child::App, Child::Database];

/// When to reconcile a blog again that isn't as its spec wants it.
pub fn requeue_while_progressing(ctx: &Context, id: &BlogMeta, changed: bool) -> Duration {
    if changed {
        ctx.pace.reset(&id.namespace, &id.name);
    }
    ctx.pace.next_delay(&id.namespace, &id.name)
}

/// When to wake up for an unsettled blog whose next reconcile is due after that time. After the quick ones its workloads are
/// read again, since an event of theirs may have been lost: by the reconcile, or alone if that comes late.
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

/// Reads the versions of a blog's workloads, if this wake-up was planned for that (client required). Returns when to wake up
/// next if no event of theirs was lost.
pub async fn read_workloads(ctx: &Context, id: &BlogMeta) -> Option<Duration> {
    let reconcile_at = ctx.pace.take_read(id)?;
    for role in WORKLOADS {
        let (kind, name) = (role.kind(), role.name(&id.name));
        if ctx.children.is_absent(kind, &id.namespace, &name) {
            continue;
        }
        let known = ctx.children.current(kind, &id.namespace, &name)?;
        let read = child_api::<DynamicObject>(&ctx.client.0, id, kind).get_metadata_opt(&name).await;
        // What can't be read is the reconcile's to report.
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
