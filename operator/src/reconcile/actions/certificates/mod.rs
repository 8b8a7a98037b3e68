//! MySQL's certificate: signed by an authority of the blog's own, renewed long before it ends, and the authority likewise,
//! with a time in which both the old and the new one are believed. No connection fails and nothing restarts: the kubelet
//! brings the Secret's new content to the pods, MySQL is told to read it anew, and the blog reads it by itself.
//!
//! A server's certificate is simply replaced by one of the same authority. An authority is replaced in three steps, each
//! some minutes after the one before, since a Secret takes a while to reach every pod:
//! 1. *Introduce*: the blog believes the new authority beside the old one.
//! 2. *Sign*: MySQL gets a certificate of the new one.
//! 3. *Forget*: the blog no longer believes the old one.
//!
//! How far it has come stands in annotations of the Secret, so an operator that starts in the middle goes on where another
//! one ended. The authority's key never leaves the Secret; no pod mounts it.

mod check;
mod issue;

use std::collections::BTreeMap;

use flaskblog_api::{
    Child, FlaskBlog,
    children::{
        CERTIFICATE_NOT_AFTER, RENEW_AUTHORITY, RENEW_CERTIFICATE, ROTATE_CERTIFICATES, ROTATION,
        ROTATION_STEP_TAKEN, ROTATION_UNDER_WAY,
    },
};
use k8s_openapi::{
    ByteString,
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
    jiff::{SignedDuration, Timestamp},
};
use kube::ResourceExt;
use serde_json::{Map, Value, json};

use self::check::{Defect, defect};
use self::issue::{AUTHORITY_LIFE, CERTIFICATE_LIFE, SKEW, UNATTENDED_LIFE, authority, server};
use crate::{
    context::Context,
    model::{
        blog_meta::BlogMeta,
        change::Change,
        error::Error,
        objects::{Applied, Objects},
        observed::Observed,
    },
    reconcile::actions::secrets::{read, revise},
};

/// Between two steps. The kubelet brings a changed Secret within about two minutes
/// (<https://kubernetes.io/docs/concepts/configuration/secret/#using-secrets-as-files-from-a-pod>).
const OVERLAP: SignedDuration = SignedDuration::from_mins(10);
/// A certificate is renewed when a third of its life is left.
const CERTIFICATE_RENEWAL: SignedDuration = SignedDuration::from_hours(60 * 24);
/// An authority is followed by a new one while it still outlives what it signs.
const AUTHORITY_RENEWAL: SignedDuration = SignedDuration::from_hours(550 * 24);
const _: () = assert!(
    AUTHORITY_LIFE.as_secs() - AUTHORITY_RENEWAL.as_secs() > CERTIFICATE_LIFE.as_secs(),
    "a certificate would outlive its authority"
);

/// What is to be done with the Secret of certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A new authority beside the old one, for the rotation of that name, if a person has asked for it.
    Introduce(Option<String>),
    /// A new certificate of the newest authority; if a rotation is under way, it goes on.
    Sign,
    /// The old authority goes.
    Forget,
    /// Everything is generated again, since the authority is unusable.
    Replace,
}

/// The next step (no client required).
#[must_use]
pub fn step(blog: &FlaskBlog, secret: &ObjectMeta, now: Timestamp) -> Option<Step> {
    let none = BTreeMap::new();
    let annotations = secret.annotations.as_ref().unwrap_or(&none);
    let asked = blog.annotations().get(ROTATE_CERTIFICATES).filter(|value| !value.is_empty());
    let time = |key: &str| annotations.get(key).and_then(|text| text.parse::<Timestamp>().ok());
    // What can't be read counts as due: one renewal too many is better than one too few. So does what was made when the clock
    // was ahead: it isn't valid yet.
    let due = |key: &str, renewal: SignedDuration| {
        time(key).is_none_or(|at| at <= now || at - renewal > now + SKEW)
    };
    let settled = time(ROTATION_STEP_TAKEN).is_none_or(|at| at + OVERLAP <= now || at > now + OVERLAP);
    match annotations.get(ROTATION_UNDER_WAY).map(String::as_str) {
        Some(_) if !settled => None,
        Some("introduced") => Some(Step::Sign),
        Some(_) => Some(Step::Forget),
        None if asked.is_some() && asked != annotations.get(ROTATION) => {
            Some(Step::Introduce(asked.cloned()))
        }
        None if due(RENEW_AUTHORITY, AUTHORITY_RENEWAL) => Some(Step::Introduce(None)),
        None if due(RENEW_CERTIFICATE, CERTIFICATE_RENEWAL) => Some(Step::Sign),
        None => None,
    }
}

/// Until when MySQL's certificate is good, as its Secret notes it (no client required). One from before that was noted ends with
/// its usual life.
#[must_use]
pub fn not_after(secret: &ObjectMeta) -> Option<Timestamp> {
    let annotations = secret.annotations.as_ref()?;
    let time = |key: &str| annotations.get(key).and_then(|text| text.parse::<Timestamp>().ok());
    let usual = || Some(time(RENEW_CERTIFICATE)? + (CERTIFICATE_LIFE - CERTIFICATE_RENEWAL));
    time(CERTIFICATE_NOT_AFTER).or_else(usual)
}

/// Shows for Prometheus until when the certificate of this blog is good.
pub fn show_not_after(ctx: &Context, id: &BlogMeta, observed: &Observed) {
    let secret = observed.children.get(&Child::DatabaseCertificates);
    ctx.show_certificate(id, secret.and_then(|secret| not_after(&secret.metadata)));
}

/// Keys and annotations of the Secret.
pub struct Content {
    /// What the Secret holds. Never printed.
    pub data: BTreeMap<&'static str, String>,
    /// When it is to be renewed.
    pub annotations: BTreeMap<&'static str, String>,
}

/// What a new Secret of certificates holds (no client required).
///
/// # Errors
/// When the system gives no randomness.
pub fn first(id: &BlogMeta, now: Timestamp) -> Result<Content, rcgen::Error> {
    with_lives(id, now, AUTHORITY_LIFE, CERTIFICATE_LIFE)
}

/// The same for a blog without an operator, where nobody renews it; an operator that comes later does, at the usual times.
///
/// # Errors
/// When the system gives no randomness.
pub fn unattended(id: &BlogMeta, now: Timestamp) -> Result<Content, rcgen::Error> {
    with_lives(id, now, UNATTENDED_LIFE, UNATTENDED_LIFE)
}

fn with_lives(
    id: &BlogMeta,
    now: Timestamp,
    of_authority: SignedDuration,
    of_certificate: SignedDuration,
) -> Result<Content, rcgen::Error> {
    let root = authority(now, of_authority)?;
    let mut content = signed(id, &root.key, now, of_certificate)?;
    content.data.extend([("ca.crt", root.certificate), ("ca.key", root.key)]);
    content.annotations.insert(RENEW_AUTHORITY, (now + AUTHORITY_RENEWAL).to_string());
    Ok(content)
}

fn signed(
    id: &BlogMeta,
    authority_key: &str,
    now: Timestamp,
    length: SignedDuration,
) -> Result<Content, rcgen::Error> {
    let pair = server(hosts(id), authority_key, now, length)?;
    Ok(Content {
        data: [("tls.crt", pair.certificate), ("tls.key", pair.key)].into(),
        annotations: [
            (RENEW_CERTIFICATE, (now + CERTIFICATE_RENEWAL).to_string()),
            (CERTIFICATE_NOT_AFTER, (now + length).to_string()),
        ]
        .into(),
    })
}

/// Every name by which a pod can reach MySQL. The cluster's own domain isn't known, so names end before it.
fn hosts(id: &BlogMeta) -> Vec<String> {
    let service = Child::DatabaseService.name(&id.name);
    let namespace = &id.namespace;
    vec![service.clone(), format!("{service}.{namespace}"), format!("{service}.{namespace}.svc")]
}

/// Takes the next step, if there is one (client required). What was observed may be late, so what is to be done is decided
/// again by what is read then: an authority that is introduced twice would push out the one that MySQL still shows.
///
/// # Errors
/// [`Error::Read`], [`Error::Write`] or [`Error::Certificate`]; the version of the Secret makes a write fail that is based on
/// an older one.
pub async fn renew(
    ctx: &Context,
    id: &BlogMeta,
    blog: &FlaskBlog,
    applied: &Objects<Applied>,
    is_failing: bool,
    now: Timestamp,
    changes: &mut Vec<Change>,
) -> Result<(), Error> {
    let Some(known) = applied.get(Child::DatabaseCertificates) else { return Ok(()) };
    let is_doubtful = ctx.certificates.has_changed(&id.uid, known.resource_version()) || is_failing;
    if step(blog, &known.metadata, now).is_none() && !is_doubtful {
        return Ok(());
    }
    let name = Child::DatabaseCertificates.name(&id.name);
    let secret = read(ctx, id, Child::DatabaseCertificates).await?;
    let data = secret.data.clone().unwrap_or_default();
    let repair = || defect(&Child::DatabaseService.name(&id.name), &data, now).map(repair);
    let Some(step) = step(blog, &secret.metadata, now).or_else(|| repair().filter(|_| is_doubtful)) else {
        return Ok(());
    };
    let patch =
        changed(id, &step, &data, now).map_err(|source| Error::Certificate { name: name.clone(), source })?;
    revise(ctx, id, Child::DatabaseCertificates, &secret, "renew", patch).await?;
    changes.push(Change { reason: told(&step), kind: "Secret".into(), name });
    Ok(())
}

fn repair(defect: Defect) -> Step {
    match defect {
        Defect::Authority => Step::Replace,
        Defect::Certificate => Step::Sign,
    }
}

fn told(step: &Step) -> &'static str {
    match step {
        Step::Introduce(_) => "Rotating",
        Step::Sign | Step::Replace => "Renewed",
        Step::Forget => "Rotated",
    }
}

/// The keys and annotations that change, as a merge patch (no client required).
fn changed(
    id: &BlogMeta,
    step: &Step,
    data: &BTreeMap<String, ByteString>,
    now: Timestamp,
) -> Result<Value, rcgen::Error> {
    let text = |key: &str| {
        data.get(key).and_then(|bytes| String::from_utf8(bytes.0.clone()).ok()).unwrap_or_default()
    };
    let believed = newest(&text("ca.crt"));
    let mut annotations = json!({ROTATION_STEP_TAKEN: now.to_string()});
    let Content { data, annotations: dates } = match step {
        Step::Introduce(rotation) => {
            let root = authority(now, AUTHORITY_LIFE)?;
            annotations[ROTATION_UNDER_WAY] = json!("introduced");
            if let Some(rotation) = rotation {
                annotations[ROTATION] = json!(rotation);
            }
            Content {
                data: [("ca.crt", root.certificate + &believed), ("ca.key", root.key)].into(),
                annotations: [(RENEW_AUTHORITY, (now + AUTHORITY_RENEWAL).to_string())].into(),
            }
        }
        // Whoever has emptied the Secret gets all of it anew.
        Step::Replace => {
            annotations[ROTATION_UNDER_WAY] = Value::Null;
            first(id, now)?
        }
        Step::Sign if believed.is_empty() || text("ca.key").is_empty() => first(id, now)?,
        Step::Sign => {
            let overlapping = text("ca.crt") != believed;
            annotations[ROTATION_UNDER_WAY] = if overlapping { json!("signed") } else { Value::Null };
            signed(id, &text("ca.key"), now, CERTIFICATE_LIFE)?
        }
        Step::Forget => {
            annotations[ROTATION_UNDER_WAY] = Value::Null;
            Content { data: [("ca.crt", believed)].into(), annotations: BTreeMap::new() }
        }
    };
    for (key, value) in dates {
        annotations[key] = json!(value);
    }
    let encoded = |(key, value): (&str, String)| (key.to_owned(), json!(ByteString(value.into_bytes())));
    let data: Map<String, Value> = data.into_iter().map(encoded).collect();
    Ok(json!({"metadata": {"annotations": annotations}, "data": data}))
}

/// The first certificate of a file of several: the newest one lies on top.
fn newest(bundle: &str) -> String {
    const END: &str = "-----END CERTIFICATE-----\n";
    bundle.find(END).map(|at| bundle[..at + END.len()].to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
