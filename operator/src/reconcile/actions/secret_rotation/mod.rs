//! Rotates passwords and keys, one step at a time. Annotations of the Secret record the progress, so another operator
//! instance can continue.
//!
//! The account's password and the session key are rotated in two steps, so that no replica meets an unknown one:
//! 1. *Begin*: the Secret gets the new one beside the old one, and the blog's pods are rolled.
//!    A password: `password` is the new one, `previous-password` the old one. The first new pod sets it in MySQL, which
//!    accepts both from then on (MySQL manual, "Dual Password Support").
//!    A session key: `current` stays, and `previous` is the *next* one, so that every replica accepts it before any signs
//!    with it.
//! 2. *Finish*, once every replica has started since: `previous-password` is removed, and the replicas discard it in MySQL.
//!    The session keys are swapped.
//!
//! Root's password has one step: `root-password` is the new one, `previous-root-password` holds the earlier ones. The
//! credential-sync container in MySQL's pod (`desired/credential_sync.sh`) changes it in MySQL. The next rotation begins
//! after three minutes at the earliest, and not while the credential-sync container fails.

mod credential;
mod secret;

use std::{fmt, time::Duration};

use flaskblog_api::{
    Child, FlaskBlog,
    children::{ROTATION, ROTATION_IN_PROGRESS},
};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::{ResourceExt, api::DynamicObject};
use serde_json::Value;

pub use self::{credential::Credential, secret::rotate};
use crate::{
    model::{
        containers::is_credential_sync,
        objects::{Applied, Objects},
        semantic_eq::{is_rolled_out, runs_the_newest_template},
    },
    reconcile::validate::rotations::template_annotation,
};

/// Time in which a new root password reaches MySQL, with a margin.
const ARRIVAL: SignedDuration = SignedDuration::from_mins(3);
/// Largest distance of a recorded time in the future.
///
/// A later time counts as wrong.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_hours(24);

/// One step for one credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The credential.
    pub credential: Credential,
    /// The resourceVersion of the Secret that the step is based on.
    pub version: Option<String>,
    /// The action.
    pub action: Action,
}

/// One of the steps of a rotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Adds the new one beside the old one.
    Begin {
        /// Name of the rotation. The pods are rolled once for each.
        rotation: String,
        /// The last handled request.
        heard: String,
        /// The time.
        at: String,
        /// The reason for the Event.
        why: String,
    },
    /// Removes the old one.
    Finish,
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = self.credential.describe();
        match &self.action {
            Action::Begin { why, .. } => write!(formatter, "rotate the {what} ({why})"),
            Action::Finish => write!(formatter, "finish the rotation of the {what}"),
        }
    }
}

/// The due rotations, by Secret (no client required).
pub(super) fn rotations(blog: &FlaskBlog, applied: &Objects<Applied>, now: Timestamp) -> Vec<super::Action> {
    let due = steps(blog, applied, now);
    [Child::DatabaseSecret, Child::SessionSecret]
        .into_iter()
        .map(|role| (role, due.iter().filter(|step| step.credential.secret() == role).cloned().collect()))
        .filter(|(_, steps): &(_, Vec<Step>)| !steps.is_empty())
        .map(|(role, steps)| super::Action::RotateSecret(role, steps))
        .collect()
}

/// The next steps at that time (no client required).
#[must_use]
pub fn steps(blog: &FlaskBlog, applied: &Objects<Applied>, now: Timestamp) -> Vec<Step> {
    Credential::ALL
        .into_iter()
        .filter_map(|credential| {
            let secret = applied.get(credential.secret())?;
            let action = action(credential, blog, secret, applied, now)?;
            Some(Step { credential, version: secret.resource_version(), action })
        })
        .collect()
}

fn action(
    credential: Credential,
    blog: &FlaskBlog,
    secret: &DynamicObject,
    applied: &Objects<Applied>,
    now: Timestamp,
) -> Option<Action> {
    let rolls_pods = credential != Credential::Root;
    if rolls_pods && secret.annotations().contains_key(ROTATION_IN_PROGRESS) {
        return has_rolled_out(secret, credential.secret(), applied).then_some(Action::Finish);
    }
    if credential == Credential::Root && arrives_in(secret, now).is_some() {
        return None;
    }
    let heard = credential.heard(secret);
    let asked = blog.annotations().get(credential.asked_by()).filter(|word| !word.is_empty());
    if let Some(word) = asked.filter(|word| Some(*word) != heard) {
        let why = format!("asked for by {}", credential.asked_by());
        let begin = Action::Begin { rotation: word.clone(), heard: word.clone(), at: seconds(now), why };
        // The next replica that starts sets the account's new password in MySQL.
        return (credential == Credential::Account || is_told(credential, applied)).then_some(begin);
    }
    let days = credential.days(blog)?;
    let due = is_older(credential, secret, days, now) && is_at_rest(credential, blog, applied);
    due.then(|| Action::Begin {
        rotation: seconds(now),
        heard: heard.cloned().unwrap_or_default(),
        at: seconds(now),
        why: if days == 1 { "older than a day".to_owned() } else { format!("older than {days} days") },
    })
}

/// Delay of root's next password until the last one has reached MySQL.
///
/// The kubelet updates the file within two minutes, and the credential-sync container isn't ready while it fails, see
/// [`is_told`]. Faster rotations would remove the password that MySQL still has.
fn arrives_in(secret: &DynamicObject, now: Timestamp) -> Option<SignedDuration> {
    let made_at = secret.annotations().get(Credential::Root.made_at())?;
    let left = (made_at.parse::<Timestamp>().ok()? + ARRIVAL).duration_since(now);
    (left.is_positive() && left <= ARRIVAL + CLOCK_TOLERANCE).then_some(left)
}

/// Delay of a requested root rotation, if any (no client required).
#[must_use]
pub fn root_waits(blog: &FlaskBlog, applied: &Objects<Applied>, now: Timestamp) -> Option<Duration> {
    let secret = applied.get(Child::DatabaseSecret)?;
    let asked = blog.annotations().get(Credential::Root.asked_by()).filter(|word| !word.is_empty())?;
    let left = arrives_in(secret, now).filter(|_| Some(asked) != Credential::Root.heard(secret))?;
    Duration::try_from(left).ok()
}

/// RFC 3339, as Kubernetes writes times.
fn seconds(time: Timestamp) -> String {
    time.strftime("%FT%TZ").to_string()
}

/// Whether it is older than that, by last rotation or Secret.
fn is_older(credential: Credential, secret: &DynamicObject, days: i32, now: Timestamp) -> bool {
    let noted =
        secret.annotations().get(credential.made_at()).and_then(|text| text.parse::<Timestamp>().ok());
    let made = noted.or(secret.creation_timestamp().map(|time| time.0));
    let days = SignedDuration::from_hours(24 * i64::from(days));
    // A time in the future is wrong: the age is unknown, and waiting for that time could take years.
    let is_of_the_future = |made: Timestamp| made > now + CLOCK_TOLERANCE;
    made.is_some_and(|made| now.duration_since(made) > days || is_of_the_future(made))
}

/// Whether all replicas and the database serve without a rollout.
///
/// A rotation by age isn't urgent, so it waits for that.
fn is_at_rest(credential: Credential, blog: &FlaskBlog, applied: &Objects<Applied>) -> bool {
    let replicas = applied.get(Child::App).is_some_and(|app| has_replicas(app) && is_rolled_out(app));
    !blog.spec.hibernate && replicas && is_told(credential, applied)
}

/// Whether a component can set the password in MySQL now.
///
/// For root that is the credential-sync container, which pods of older releases lack. Without it, rotations would remove
/// the password that MySQL has from the stored ones.
fn is_told(credential: Credential, applied: &Objects<Applied>) -> bool {
    let set = applied.get(Child::Database);
    match credential {
        Credential::SessionKey => true,
        Credential::Account => set.is_some_and(database_serves),
        Credential::Root => set.is_some_and(|set| runs_the_newest_template(set) && has_credential_sync(set)),
    }
}

fn database_serves(set: &DynamicObject) -> bool {
    let status = &set.data["status"];
    let current = status["observedGeneration"].as_i64() == set.metadata.generation;
    current && status["readyReplicas"].as_i64().unwrap_or(0) > 0
}

/// Whether the template, and so its pod, has the credential-sync container.
fn has_credential_sync(set: &DynamicObject) -> bool {
    let containers = set.data.pointer("/spec/template/spec/containers").and_then(Value::as_array);
    containers.is_some_and(|all| all.iter().filter_map(|one| one["name"].as_str()).any(is_credential_sync))
}

fn has_replicas(deployment: &DynamicObject) -> bool {
    deployment.data["spec"]["replicas"].as_i64().unwrap_or(1) > 0
}

/// Whether all replicas, at least one, have started since the rotation.
///
/// Without a replica, the password isn't set in MySQL.
fn has_rolled_out(secret: &DynamicObject, role: Child, applied: &Objects<Applied>) -> bool {
    let (Some(rotation), Some(app)) = (secret.annotations().get(ROTATION), applied.get(Child::App)) else {
        return false;
    };
    let template = &app.data["spec"]["template"]["metadata"]["annotations"];
    has_replicas(app) && template[template_annotation(role)] == *rotation && is_rolled_out(app)
}

#[cfg(test)]
mod tests;
