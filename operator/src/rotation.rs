//! New passwords and keys, one step at a time. What has been done stands in annotations of the Secret, so an operator that
//! starts in the middle goes on where another one ended.
//!
//! Both kinds go the same way, so that no replica ever meets what it doesn't know:
//! 1. *Begin*: the Secret gets the new one beside the old one, and the blog's pods are rolled.
//!    A password: `password` is the new one, `previous-password` the old one; the first new pod tells MySQL, which takes
//!    both from then on (MySQL manual, "Dual Password Support").
//!    A session key: `current` stays, and `previous` is the *next* one, so that every replica accepts it before any signs
//!    with it.
//! 2. *Finish*, once every replica has started since: `previous-password` goes, and the replicas discard it at the server;
//!    the session keys change places.

use std::collections::BTreeMap;

use flaskblog_api::{
    Child, FlaskBlog,
    children::{MANAGER, ROTATE_PASSWORD, ROTATE_SESSION_KEYS, ROTATION, ROTATION_UNDER_WAY},
};
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Api, ResourceExt,
    api::{DynamicObject, Patch, PatchParams},
};
use rand::Rng;
use serde_json::{Value, json};

use crate::{
    apply::Change,
    compare::is_rolled_out,
    context::Context,
    desired::{Applied, Objects, secret_content},
    error::Error,
    identity::Identity,
    observe::Observed,
};

/// What is to be done with one Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The new one comes beside the old one, for the rotation of that name.
    Begin(String),
    /// The old one goes.
    Finish,
}

/// The rotations of a blog: which Secret, and the annotation by which a person asks for it.
const ROTATIONS: [(Child, &str); 2] =
    [(Child::DatabaseSecret, ROTATE_PASSWORD), (Child::SessionSecret, ROTATE_SESSION_KEYS)];

/// The rotation that a Secret has seen last, for the pod template: every new one rolls the pods once.
#[must_use]
pub fn last_rotation(observed: &Observed, role: Child) -> Option<String> {
    observed.children.get(&role)?.annotations().get(ROTATION).cloned()
}

/// The next steps (no client required).
#[must_use]
pub fn steps(blog: &FlaskBlog, observed: &Observed, applied: &Objects<Applied>) -> Vec<(Child, Step)> {
    ROTATIONS
        .into_iter()
        .filter_map(|(role, asked_by)| {
            let secret = observed.children.get(&role)?;
            let asked = blog.annotations().get(asked_by).filter(|value| !value.is_empty());
            Some((role, step(role, secret, asked, applied)?))
        })
        .collect()
}

fn step(
    role: Child,
    secret: &DynamicObject,
    asked: Option<&String>,
    applied: &Objects<Applied>,
) -> Option<Step> {
    let done = secret.annotations().get(ROTATION);
    if secret.annotations().contains_key(ROTATION_UNDER_WAY) {
        return has_rolled_out(role, done?, applied.get(Child::App)?).then_some(Step::Finish);
    }
    asked.filter(|asked| Some(*asked) != done).cloned().map(Step::Begin)
}

/// Whether every replica has started since the rotation began, and there is at least one: without any, nobody has told the
/// server.
fn has_rolled_out(role: Child, rotation: &str, deployment: &DynamicObject) -> bool {
    let data = &deployment.data;
    let any = data["spec"]["replicas"].as_i64().unwrap_or(1) > 0;
    let marked = data["spec"]["template"]["metadata"]["annotations"][template_annotation(role)] == rotation;
    any && marked && is_rolled_out(deployment)
}

/// The annotation of the pod template that rolls the pods.
#[must_use]
pub fn template_annotation(role: Child) -> &'static str {
    if role == Child::DatabaseSecret {
        "flaskblog.dev/password-rotation"
    } else {
        "flaskblog.dev/session-key-rotation"
    }
}

/// Takes the steps (client required).
///
/// # Errors
/// [`Error::Read`] or [`Error::Write`]; the version of the Secret makes a write fail that is based on an older one.
pub async fn rotate(
    ctx: &Context,
    id: &Identity,
    steps: Vec<(Child, Step)>,
    changes: &mut Vec<Change>,
) -> Result<(), Error> {
    for (role, step) in steps {
        let name = role.name(&id.name);
        let api: Api<Secret> = Api::namespaced(ctx.client.0.clone(), &id.namespace);
        // The only place where a Secret's data is read: the old value has to be kept beside the new one.
        let secret = api.get(&name).await.map_err(|source| Error::Read {
            kind: "Secret".into(),
            name: name.clone(),
            source: Box::new(source),
        })?;
        let data = secret.data.unwrap_or_default();
        let patch = json!({
            "metadata": {"resourceVersion": secret.metadata.resource_version, "annotations": annotations(&step)},
            "data": changed(role, &step, &data),
        });
        let params = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
        ctx.metrics.api_writes.get_or_create(&("rotate", role.kind()).into()).inc();
        api.patch(&name, &params, &Patch::Merge(patch)).await.map_err(|source| Error::Write {
            verb: "rotate",
            kind: "Secret".into(),
            name: name.clone(),
            source: Box::new(source),
        })?;
        let reason = if step == Step::Finish { "Rotated" } else { "Rotating" };
        changes.push(Change { reason, kind: "Secret".into(), name });
    }
    Ok(())
}

fn annotations(step: &Step) -> Value {
    match step {
        Step::Begin(rotation) => json!({ROTATION: rotation, ROTATION_UNDER_WAY: "true"}),
        Step::Finish => json!({ROTATION_UNDER_WAY: null}),
    }
}

/// The keys of the Secret that change. Nothing of it is ever printed.
fn changed(role: Child, step: &Step, data: &BTreeMap<String, ByteString>) -> Value {
    let old = |key: &str| json!(data.get(key).cloned().unwrap_or_default());
    let new = |key: &str| json!(ByteString(generated(role, key).into_bytes()));
    match (role, step) {
        (Child::DatabaseSecret, Step::Begin(_)) => {
            json!({"password": new("password"), "previous-password": old("password")})
        }
        (Child::DatabaseSecret, Step::Finish) => json!({"previous-password": null}),
        (_, Step::Begin(_)) => json!({"previous": new("current")}),
        (_, Step::Finish) => json!({"current": old("previous"), "previous": old("current")}),
    }
}

fn generated(role: Child, key: &str) -> String {
    let content = secret_content(role, &mut |bound| rand::rng().random_range(0..bound));
    let found = content.and_then(|content| content.0.into_iter().find(|(name, _)| *name == key));
    found.map(|(_, value)| value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(annotations: Value) -> DynamicObject {
        let object = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "annotations": annotations}});
        serde_json::from_value(object).unwrap()
    }

    fn applied(rotation: &str, replicas: i64, available: i64) -> Objects<Applied> {
        let annotation = template_annotation(Child::DatabaseSecret);
        let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x", "generation": 3},
            "spec": {"replicas": replicas, "template": {"metadata": {"annotations": {annotation: rotation}}}},
            "status": {"observedGeneration": 3, "replicas": replicas, "updatedReplicas": replicas,
                "availableReplicas": available}});
        Objects::applied([(Child::App, serde_json::from_value(deployment).unwrap())].into())
    }

    fn next(annotations: Value, asked: Option<&str>, applied: &Objects<Applied>) -> Option<Step> {
        step(Child::DatabaseSecret, &secret(annotations), asked.map(str::to_owned).as_ref(), applied)
    }

    #[test]
    fn a_rotation_begins_once_for_each_new_word_of_a_person() {
        let app = applied("", 2, 2);
        assert_eq!(next(json!({}), None, &app), None);
        assert_eq!(next(json!({}), Some("may"), &app), Some(Step::Begin("may".into())));
        assert_eq!(next(json!({ROTATION: "may"}), Some("may"), &app), None);
        assert_eq!(next(json!({ROTATION: "may"}), Some("june"), &app), Some(Step::Begin("june".into())));
    }

    #[test]
    fn it_is_finished_when_every_replica_has_started_since_and_never_without_one() {
        let under_way = json!({ROTATION: "may", ROTATION_UNDER_WAY: "true"});
        let step = |rotation, replicas, available| {
            next(under_way.clone(), Some("june"), &applied(rotation, replicas, available))
        };
        assert_eq!(step("april", 2, 2), None, "the pods are older");
        assert_eq!(step("may", 2, 1), None, "one isn't up");
        assert_eq!(step("may", 0, 0), None, "nobody has told the server");
        assert_eq!(step("may", 2, 2), Some(Step::Finish), "and the next one waits its turn");
    }

    #[test]
    fn every_replica_accepts_a_session_key_before_any_signs_with_it() {
        let bytes = |text: &str| ByteString(text.into());
        let text = |value: &Value| {
            let bytes: ByteString = serde_json::from_value(value.clone()).unwrap();
            String::from_utf8(bytes.0).unwrap()
        };
        let data =
            BTreeMap::from([("current".to_owned(), bytes("old")), ("previous".to_owned(), bytes("oldest"))]);
        let begun = changed(Child::SessionSecret, &Step::Begin("x".into()), &data);
        assert_eq!((begun.get("current"), text(&begun["previous"]).len()), (None, 64));
        let data =
            BTreeMap::from([("current".to_owned(), bytes("old")), ("previous".to_owned(), bytes("next"))]);
        let finished = changed(Child::SessionSecret, &Step::Finish, &data);
        assert_eq!((text(&finished["current"]), text(&finished["previous"])), ("next".into(), "old".into()));
    }
}
