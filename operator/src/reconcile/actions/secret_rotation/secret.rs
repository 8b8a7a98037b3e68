//! The Secrets' new content, and the only writes to it.

use std::collections::BTreeMap;

use flaskblog_api::{
    Child,
    children::{ROTATION, ROTATION_IN_PROGRESS},
};
use k8s_openapi::ByteString;
use rand::Rng;
use serde_json::{Map, Value, json};
use tracing::debug;

use super::{Action, Credential, Step};
use crate::{
    context::Context,
    model::{blog_meta::BlogMeta, change::Change, error::Error},
    reconcile::{
        actions::secrets::{patch_secret, read_secret},
        desired::secret_content,
    },
};

/// Number of root's earlier passwords that are stored.
///
/// MySQL has one of them, if a rotation was interrupted.
const EARLIER: usize = 3;

/// Takes steps of one Secret in one write (client required).
///
/// # Errors
/// [`Error::Read`] or [`Error::Write`]. A write that is based on a stale Secret fails its resourceVersion precondition.
pub async fn rotate(
    ctx: &Context,
    id: &BlogMeta,
    role: Child,
    steps: &[Step],
    changes: &mut Vec<Change>,
) -> Result<(), Error> {
    if write(ctx, id, role, steps).await? {
        changes.extend(steps.iter().map(|step| change(step, role.name(&id.name))));
    }
    Ok(())
}

/// Writes the steps and returns whether the Secret was written.
///
/// A stale Secret is left for the next reconcile: a step taken twice would lose the password that MySQL has.
async fn write(ctx: &Context, id: &BlogMeta, role: Child, steps: &[Step]) -> Result<bool, Error> {
    // The old value must be stored beside the new one.
    let secret = read_secret(ctx, id, role).await?;
    let version = &secret.metadata.resource_version;
    if steps.iter().any(|step| step.version != *version) {
        debug!(name = role.name(&id.name), "the Secret has changed meanwhile");
        return Ok(false);
    }
    let data = secret.data.clone().unwrap_or_default();
    let patch = json!({
        "metadata": {"annotations": merged(steps, annotations)},
        "data": merged(steps, |step| changed(step, &data)),
    });
    patch_secret(ctx, id, role, &secret.metadata, "rotate", patch).await?;
    Ok(true)
}

fn merged(steps: &[Step], part: impl Fn(&Step) -> Value) -> Value {
    let parts = steps.iter().filter_map(|step| match part(step) {
        Value::Object(fields) => Some(fields),
        _ => None,
    });
    Value::Object(parts.flatten().collect::<Map<String, Value>>())
}

fn change(step: &Step, name: String) -> Change {
    let what = step.credential.describe();
    let (reason, note) = match &step.action {
        Action::Begin { why, .. } => ("Rotating", format!("{name} ({what}: {why})")),
        Action::Finish => ("Rotated", format!("{name} ({what})")),
    };
    Change { reason, kind: "Secret".into(), name: note }
}

fn annotations(step: &Step) -> Value {
    let credential = step.credential;
    let Action::Begin { rotation, heard, at, .. } = &step.action else {
        return json!({ROTATION_IN_PROGRESS: null});
    };
    let mut annotations = json!({credential.heard_in(): heard, credential.made_at(): at});
    // The credential-sync container in MySQL's pod reports no completion, and nothing waits for it.
    if credential != Credential::Root {
        annotations[ROTATION] = json!(rotation);
        annotations[ROTATION_IN_PROGRESS] = json!("true");
    }
    annotations
}

/// The changed keys of the Secret. Never printed.
fn changed(step: &Step, data: &BTreeMap<String, ByteString>) -> Value {
    let role = step.credential.secret();
    let old = |key: &str| json!(data.get(key).cloned().unwrap_or_default());
    let new = |key: &str| json!(ByteString(generated(role, key).into_bytes()));
    match (step.credential, &step.action) {
        (Credential::Account, Action::Begin { .. }) => {
            json!({"password": new("password"), "previous-password": old("password")})
        }
        (Credential::Account, Action::Finish) => json!({"previous-password": null}),
        (Credential::Root, _) => {
            json!({"root-password": new("root-password"), "previous-root-password": earlier(data)})
        }
        (Credential::SessionKey, Action::Begin { .. }) => json!({"previous": new("current")}),
        (Credential::SessionKey, Action::Finish) => {
            json!({"current": old("previous"), "previous": old("current")})
        }
    }
}

/// Root's current password and the earlier ones, one per line.
fn earlier(data: &BTreeMap<String, ByteString>) -> ByteString {
    let lines = |key: &str| data.get(key).map_or(&[][..], |value| &value.0).split(|byte| *byte == b'\n');
    let all = lines("root-password").chain(lines("previous-root-password")).filter(|line| !line.is_empty());
    ByteString(all.take(EARLIER).collect::<Vec<_>>().join(&b'\n'))
}

fn generated(role: Child, key: &str) -> String {
    let content = secret_content(role, &mut |bound| rand::rng().random_range(0..bound));
    let found = content.and_then(|content| content.0.into_iter().find(|(name, _)| *name == key));
    found.map(|(_, value)| value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(credential: Credential) -> Step {
        let action = Action::Begin {
            rotation: "june".into(),
            heard: "june".into(),
            at: "2026-06-01T00:00:00Z".into(),
            why: String::new(),
        };
        Step { credential, version: None, action }
    }

    fn data(pairs: &[(&str, &str)]) -> BTreeMap<String, ByteString> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), ByteString((*value).into()))).collect()
    }

    fn text(value: &Value) -> String {
        let bytes: ByteString = serde_json::from_value(value.clone()).unwrap();
        String::from_utf8(bytes.0).unwrap()
    }

    #[test]
    fn every_replica_accepts_a_session_key_before_any_signs_with_it() {
        let begun =
            changed(&begin(Credential::SessionKey), &data(&[("current", "old"), ("previous", "oldest")]));
        assert_eq!((begun.get("current"), text(&begun["previous"]).len()), (None, 64));
        let finish = Step { action: Action::Finish, ..begin(Credential::SessionKey) };
        let finished = changed(&finish, &data(&[("current", "old"), ("previous", "next")]));
        assert_eq!((text(&finished["current"]), text(&finished["previous"])), ("next".into(), "old".into()));
    }

    #[test]
    fn roots_last_three_passwords_are_kept_newest_first() {
        let rotate = |previous: Option<&str>| {
            let mut pairs = vec![("root-password", "now"), ("password", "untouched")];
            pairs.extend(previous.map(|previous| ("previous-root-password", previous)));
            let changed = changed(&begin(Credential::Root), &data(&pairs));
            assert_eq!(text(&changed["root-password"]).len(), 32);
            assert_eq!(changed.as_object().unwrap().len(), 2, "{changed}");
            text(&changed["previous-root-password"])
        };
        assert_eq!(rotate(None), "now");
        assert_eq!(rotate(Some("a\n")), "now\na");
        assert_eq!(rotate(Some("a\nb\nc")), "now\na\nb");
    }

    #[test]
    fn the_account_and_root_asked_for_together_are_one_write() {
        let (account, root) = (begin(Credential::Account), begin(Credential::Root));
        let data = data(&[("root-password", "r"), ("password", "p")]);
        let both = merged(&[account.clone(), root.clone()], |step| changed(step, &data));
        let keys: Vec<&str> = both.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["password", "previous-password", "previous-root-password", "root-password"]);
        assert_eq!(
            (text(&both["previous-password"]), text(&both["previous-root-password"])),
            ("p".into(), "r".into())
        );
        let noted = merged(&[account, root], annotations);
        assert_eq!(noted.as_object().unwrap().len(), 6, "{noted}");
    }
}
