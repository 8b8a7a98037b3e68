//! MySQL's certificate, signed by the blog's own CA. Both are renewed long before they expire.
//!
//! Old and new CA are trusted together for a while, so no connection fails and nothing restarts. The kubelet updates the
//! Secret's files in the pods, the credential container makes MySQL reload them, and the blog reloads them itself.
//!
//! A server's certificate is replaced by one of the same CA. A CA is replaced in three steps, some minutes apart, since a
//! changed Secret takes a while to reach every pod:
//! 1. *Introduce*: the blog trusts the new CA beside the old one.
//! 2. *Sign*: MySQL gets a certificate of the new CA.
//! 3. *Forget*: the blog no longer trusts the old CA.
//!
//! Annotations of the Secret record the progress, so another operator instance can continue. The CA's key never leaves the
//! Secret, and no pod mounts it.

mod check;
mod issue;

use std::collections::BTreeMap;

use flaskblog_api::{
    Child, FlaskBlog,
    children::{
        CERTIFICATE_NOT_AFTER, RENEW_CA, RENEW_CERTIFICATE, ROTATE_CERTIFICATES, ROTATION,
        ROTATION_IN_PROGRESS, ROTATION_STEP_TAKEN,
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
use super::Action;
use crate::{
    context::Context,
    model::{
        blog_meta::BlogMeta,
        change::Change,
        error::Error,
        objects::{Applied, Objects},
        observed::Observed,
    },
    reconcile::actions::secrets::{patch_secret, read_secret},
};

/// Delay between two steps.
///
/// The kubelet updates a changed Secret within about two minutes
/// (<https://kubernetes.io/docs/concepts/configuration/secret/#using-secrets-as-files-from-a-pod>).
const OVERLAP: SignedDuration = SignedDuration::from_mins(10);
/// Age of renewal, with a third of the validity left.
const CERTIFICATE_RENEWAL: SignedDuration = SignedDuration::from_hours(60 * 24);
/// Age at which a CA is replaced. It still outlives what it signs.
const AUTHORITY_RENEWAL: SignedDuration = SignedDuration::from_hours(550 * 24);
const _: () = assert!(
    AUTHORITY_LIFE.as_secs() - AUTHORITY_RENEWAL.as_secs() > CERTIFICATE_LIFE.as_secs(),
    "a certificate would outlive its authority"
);

/// One step on the certificates' Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Adds a new CA beside the old one.
    ///
    /// It names the rotation that a user has requested, if any.
    Introduce(Option<String>),
    /// Issues a certificate of the newest CA. Continues a rotation in progress.
    Sign,
    /// Removes the old CA.
    Forget,
    /// Generates everything again, since the CA is unusable.
    Replace,
}

impl Step {
    /// Its line in a list of actions.
    pub(super) fn line(&self) -> &'static str {
        match self {
            Self::Introduce(_) => "add a new CA",
            Self::Sign => "renew the certificate",
            Self::Forget => "remove the old CA",
            Self::Replace => "generate CA and certificate again",
        }
    }
}

/// The next step (no client required).
#[must_use]
pub fn step(blog: &FlaskBlog, secret: &ObjectMeta, now: Timestamp) -> Option<Step> {
    let none = BTreeMap::new();
    let annotations = secret.annotations.as_ref().unwrap_or(&none);
    let asked = blog.annotations().get(ROTATE_CERTIFICATES).filter(|value| !value.is_empty());
    let time = |key: &str| annotations.get(key).and_then(|text| text.parse::<Timestamp>().ok());
    // A malformed time counts as due: one renewal too many is better than one too few. A time in the future does too, since
    // such a certificate isn't valid yet.
    let due = |key: &str, renewal: SignedDuration| {
        time(key).is_none_or(|at| at <= now || at - renewal > now + SKEW)
    };
    let settled = time(ROTATION_STEP_TAKEN).is_none_or(|at| at + OVERLAP <= now || at > now + OVERLAP);
    match annotations.get(ROTATION_IN_PROGRESS).map(String::as_str) {
        Some(_) if !settled => None,
        Some("introduced") => Some(Step::Sign),
        Some(_) => Some(Step::Forget),
        None if asked.is_some() && asked != annotations.get(ROTATION) => {
            Some(Step::Introduce(asked.cloned()))
        }
        None if due(RENEW_CA, AUTHORITY_RENEWAL) => Some(Step::Introduce(None)),
        None if due(RENEW_CERTIFICATE, CERTIFICATE_RENEWAL) => Some(Step::Sign),
        None => None,
    }
}

/// Expiry of MySQL's certificate, as its Secret records it (no client required).
///
/// A Secret of an older release lacks the record, and its certificate has the usual validity.
#[must_use]
pub fn not_after(secret: &ObjectMeta) -> Option<Timestamp> {
    let annotations = secret.annotations.as_ref()?;
    let time = |key: &str| annotations.get(key).and_then(|text| text.parse::<Timestamp>().ok());
    let usual = || Some(time(RENEW_CERTIFICATE)? + (CERTIFICATE_LIFE - CERTIFICATE_RENEWAL));
    time(CERTIFICATE_NOT_AFTER).or_else(usual)
}

/// Sets the metric for the expiry of the blog's certificate.
pub fn show_not_after(ctx: &Context, id: &BlogMeta, observed: &Observed) {
    let secret = observed.children.get(&Child::DatabaseCertificates);
    ctx.show_certificate(id, secret.and_then(|secret| not_after(&secret.metadata)));
}

/// Keys and annotations of the Secret.
pub struct Content {
    /// Data of the Secret. Never printed.
    pub data: BTreeMap<&'static str, String>,
    /// Annotations with the renewal times.
    pub annotations: BTreeMap<&'static str, String>,
}

/// The content of a new certificates' Secret (no client required).
///
/// # Errors
/// When the system provides no randomness.
pub fn first(id: &BlogMeta, now: Timestamp) -> Result<Content, rcgen::Error> {
    with_lives(id, now, AUTHORITY_LIFE, CERTIFICATE_LIFE)
}

/// The content for a blog without an operator, which nothing renews.
///
/// An operator that is installed later renews it at the usual ages.
///
/// # Errors
/// When the system provides no randomness.
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
    content.annotations.insert(RENEW_CA, (now + AUTHORITY_RENEWAL).to_string());
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

/// Every name of MySQL for pods. The cluster domain isn't known, so names end before it.
fn hosts(id: &BlogMeta) -> Vec<String> {
    let service = Child::DatabaseService.name(&id.name);
    let namespace = &id.namespace;
    vec![service.clone(), format!("{service}.{namespace}"), format!("{service}.{namespace}.svc")]
}

/// The due step, or a check of the Secret's content (no client required).
pub(super) fn renewal(
    blog: &FlaskBlog,
    applied: &Objects<Applied>,
    is_doubtful: bool,
    now: Timestamp,
) -> Option<Action> {
    let secret = applied.get(Child::DatabaseCertificates)?;
    let step = step(blog, &secret.metadata, now);
    (step.is_some() || is_doubtful).then_some(Action::RenewCertificate { step, is_doubtful })
}

/// Takes the next step, if there is one (client required).
///
/// The observed state may be stale, so the step is computed again from a fresh read. Introducing a CA twice would remove the
/// one that MySQL's certificate is signed with.
///
/// # Errors
/// [`Error::Read`], [`Error::Write`] or [`Error::Certificate`]. A write that is based on a stale Secret fails its
/// resourceVersion precondition.
pub async fn renew(
    ctx: &Context,
    id: &BlogMeta,
    blog: &FlaskBlog,
    is_doubtful: bool,
    changes: &mut Vec<Change>,
) -> Result<(), Error> {
    let (name, now) = (Child::DatabaseCertificates.name(&id.name), Timestamp::now());
    let secret = read_secret(ctx, id, Child::DatabaseCertificates).await?;
    let data = secret.data.clone().unwrap_or_default();
    let repair = || defect(&Child::DatabaseService.name(&id.name), &data, now).map(repair);
    let Some(step) = step(blog, &secret.metadata, now).or_else(|| repair().filter(|_| is_doubtful)) else {
        return Ok(());
    };
    let patch =
        changed(id, &step, &data, now).map_err(|source| Error::Certificate { name: name.clone(), source })?;
    patch_secret(ctx, id, Child::DatabaseCertificates, &secret.metadata, "renew", patch).await?;
    changes.push(Change { reason: reason(&step), kind: "Secret".into(), name });
    Ok(())
}

fn repair(defect: Defect) -> Step {
    match defect {
        Defect::Authority => Step::Replace,
        Defect::Certificate => Step::Sign,
    }
}

fn reason(step: &Step) -> &'static str {
    match step {
        Step::Introduce(_) => "Rotating",
        Step::Sign | Step::Replace => "Renewed",
        Step::Forget => "Rotated",
    }
}

/// Merge patch of the changed keys and annotations (no client required).
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
            annotations[ROTATION_IN_PROGRESS] = json!("introduced");
            if let Some(rotation) = rotation {
                annotations[ROTATION] = json!(rotation);
            }
            Content {
                data: [("ca.crt", root.certificate + &believed), ("ca.key", root.key)].into(),
                annotations: [(RENEW_CA, (now + AUTHORITY_RENEWAL).to_string())].into(),
            }
        }
        // All keys are generated again, for example after a client emptied the Secret.
        Step::Replace => {
            annotations[ROTATION_IN_PROGRESS] = Value::Null;
            first(id, now)?
        }
        Step::Sign if believed.is_empty() || text("ca.key").is_empty() => first(id, now)?,
        Step::Sign => {
            let overlapping = text("ca.crt") != believed;
            annotations[ROTATION_IN_PROGRESS] = if overlapping { json!("signed") } else { Value::Null };
            signed(id, &text("ca.key"), now, CERTIFICATE_LIFE)?
        }
        Step::Forget => {
            annotations[ROTATION_IN_PROGRESS] = Value::Null;
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

/// The first certificate of a bundle, which is the newest.
fn newest(bundle: &str) -> String {
    const END: &str = "-----END CERTIFICATE-----\n";
    bundle.find(END).map(|at| bundle[..at + END.len()].to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
