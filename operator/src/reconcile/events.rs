//! Events of a reconcile: changed objects grouped by kind of change, failures, and Ready transitions.

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

/// Reasons of a blog that isn't ready right after a change.
const BEGINNINGS: [&str; 2] = [reasons::DATABASE_STARTING, reasons::ROLLING_OUT];

/// Publishes the Events of one reconcile. A failure is only logged.
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
        // Published once: the state has no news while it lasts, and a thousand blogs would repeat it often.
        Some(Error::Invalid(Invalid::WaitingForCleanup { .. } | Invalid::BeingDeleted { .. }))
            if next.is_none() => {}
        Some(error) => events.push(event(EventType::Warning, error.reason(), words(blog, error))),
        None => {
            let turn = next.and_then(|next| turn_of_ready(blog, next));
            // An Event of changed objects implies that the blog isn't ready yet.
            events.extend(turn.filter(|turn| changes.is_empty() || !BEGINNINGS.contains(&&*turn.reason)));
            events.extend(next.into_iter().flat_map(|next| kinds_missed(blog, next)));
        }
    }
    events
}

/// The message of the conditions.
fn words(blog: &FlaskBlog, error: &Error) -> String {
    BlogMeta::of(blog).map_or_else(|_| error.to_string(), |id| advice::message(&id, error))
}

/// One Event for all objects with the same change.
///
/// The API server stores each Event, so fewer are better.
fn changed(reason: &str, changes: &[Change]) -> Option<Event> {
    let objects: Vec<String> = changes
        .iter()
        .filter(|change| change.reason == reason)
        .map(|change| format!("{} {}", change.kind, change.name))
        .collect();
    (!objects.is_empty())
        .then(|| event(EventType::Normal, reason, format!("{reason} {}", objects.join(", "))))
}

/// An Event for a Ready transition or a new reason.
fn turn_of_ready(blog: &FlaskBlog, next: &FlaskBlogStatus) -> Option<Event> {
    let before = blog.status.as_ref().and_then(|status| find(&status.conditions, conditions::READY));
    let now = find(&next.conditions, conditions::READY)?;
    let changed = before.is_none_or(|before| before.status != now.status || before.reason != now.reason);
    let failing = now.reason == reasons::POD_FAILING || now.reason == reasons::MIGRATION_FAILED;
    let type_ = if failing { EventType::Warning } else { EventType::Normal };
    changed.then(|| event(type_, &now.reason, now.message.clone()))
}

/// Reasons for a kind that the spec needs and the cluster lacks.
const LACKS: [(&str, &str); 2] = [
    (conditions::MONITORED, reasons::MONITORING_UNAVAILABLE),
    (conditions::RESOURCES_RECOMMENDED, reasons::RECOMMENDER_UNAVAILABLE),
];

/// Events for kinds that the spec needs and the cluster lacks.
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
