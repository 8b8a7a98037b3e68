//! What `kubectl describe fb` tells: every object made or changed (those of one reconcile together), every failure, every turn of Ready.

use flaskblog_api::{
    FlaskBlog, FlaskBlogStatus,
    conditions::{self, reasons},
};
use k8s_controller::{
    conditions::find,
    events::{Event, EventType},
};
use tracing::{debug, warn};

use crate::{
    context::Context,
    model::{
        advice,
        blog_meta::BlogMeta,
        change::Change,
        error::{Error, Invalid},
    },
};

/// Why a blog isn't ready right after a change.
const BEGINNINGS: [&str; 2] = [reasons::DATABASE_STARTING, reasons::ROLLING_OUT];

/// Publishes what happened in one reconcile. A failure to do so is logged and changes nothing else.
pub async fn publish(
    ctx: &Context,
    blog: &FlaskBlog,
    changes: &[Change],
    next: Option<&FlaskBlogStatus>,
    error: Option<&Error>,
) {
    let Some(recorder) = ctx.recorders.of(blog) else { return };
    for event in events(blog, changes, next, error) {
        if !ctx.recorders.allow(blog, &event.reason) {
            debug!(reason = event.reason, "an event too many");
            continue;
        }
        if let Err(problem) = recorder.publish(blog, &event).await {
            warn!(error = %problem, reason = event.reason, "failed to publish an event");
            return;
        }
    }
}

/// The Events of one reconcile (no client required).
#[must_use]
pub fn events(
    blog: &FlaskBlog,
    changes: &[Change],
    next: Option<&FlaskBlogStatus>,
    error: Option<&Error>,
) -> Vec<Event> {
    let mut events: Vec<Event> =
        ["Created", "Updated", "Recreating", "Deleted", "Rotating", "Renewed", "Rotated"]
            .into_iter()
            .filter_map(|reason| changed(reason, changes))
            .collect();
    match error {
        // Told once: while it lasts there is nothing new to tell, and a thousand blogs would tell it often.
        Some(Error::Invalid(Invalid::WaitingForCleanup { .. } | Invalid::BeingDeleted { .. }))
            if next.is_none() => {}
        Some(error) => events.push(event(EventType::Warning, error.reason(), words(blog, error))),
        None => {
            let turn = next.and_then(|next| turn_of_ready(blog, next));
            // That a blog whose objects were just made or changed isn't ready yet goes without saying.
            events.extend(turn.filter(|turn| changes.is_empty() || !BEGINNINGS.contains(&&*turn.reason)));
            events.extend(next.into_iter().flat_map(|next| kinds_missed(blog, next)));
        }
    }
    events
}

/// As the conditions have it.
fn words(blog: &FlaskBlog, error: &Error) -> String {
    BlogMeta::of(blog).map_or_else(|_| error.to_string(), |id| advice::message(&id, error))
}

/// One Event for all objects that went the same way: the API server has to store each Event.
fn changed(reason: &str, changes: &[Change]) -> Option<Event> {
    let objects: Vec<String> = changes
        .iter()
        .filter(|change| change.reason == reason)
        .map(|change| format!("{} {}", change.kind, change.name))
        .collect();
    (!objects.is_empty())
        .then(|| event(EventType::Normal, reason, format!("{reason} {}", objects.join(", "))))
}

/// An Event when Ready changed its status or its reason.
fn turn_of_ready(blog: &FlaskBlog, next: &FlaskBlogStatus) -> Option<Event> {
    let before = blog.status.as_ref().and_then(|status| find(&status.conditions, conditions::READY));
    let now = find(&next.conditions, conditions::READY)?;
    let changed = before.is_none_or(|before| before.status != now.status || before.reason != now.reason);
    let failing = now.reason == reasons::POD_FAILING || now.reason == reasons::MIGRATION_FAILED;
    let type_ = if failing { EventType::Warning } else { EventType::Normal };
    changed.then(|| event(type_, &now.reason, now.message.clone()))
}

/// Reasons that say that the cluster lacks a kind that the spec asks for.
const LACKS: [(&str, &str); 2] = [
    (conditions::MONITORED, reasons::MONITORING_UNAVAILABLE),
    (conditions::RESOURCES_RECOMMENDED, reasons::RECOMMENDER_UNAVAILABLE),
];

/// Events when the cluster turned out to lack what the spec asks for.
fn kinds_missed(blog: &FlaskBlog, next: &FlaskBlogStatus) -> impl Iterator<Item = Event> {
    LACKS.into_iter().filter_map(|(condition, reason)| {
        let missed = |status: &FlaskBlogStatus| {
            let found = find(&status.conditions, condition)?.clone();
            (found.reason == reason).then_some(found.message)
        };
        let message = missed(next)?;
        let told = blog.status.as_ref().and_then(missed).is_some_and(|before| before == message);
        (!told).then(|| event(EventType::Warning, reason, message))
    })
}

fn event(type_: EventType, reason: &str, note: String) -> Event {
    Event { type_, reason: reason.to_owned(), action: "Reconcile".into(), note: Some(note), related: None }
}
