//! Takes over annotations of Secrets by their earlier names.

use flaskblog_api::{Child, children::RENAMED};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Map, Value, json};

use crate::{
    context::Context,
    model::{
        blog_meta::BlogMeta,
        error::Error,
        objects::{Applied, Objects},
    },
    reconcile::actions::secrets::patch_secret,
};

/// Renames the annotations. Returns whether none had an earlier name (client required).
///
/// Until then no rotation may continue: a step that is taken twice loses the password that MySQL has.
///
/// # Errors
/// [`Error::Write`] when a patch was refused or its Secret has changed meanwhile.
pub async fn rename_annotations(
    ctx: &Context,
    id: &BlogMeta,
    applied: &Objects<Applied>,
) -> Result<bool, Error> {
    let mut none = true;
    for role in [Child::DatabaseSecret, Child::SessionSecret, Child::DatabaseCertificates] {
        let Some(secret) = applied.get(role) else { continue };
        let Some(annotations) = renamed(&secret.metadata) else { continue };
        let patch = json!({"metadata": {"annotations": annotations}});
        patch_secret(ctx, id, role, &secret.metadata, "patch", patch).await?;
        none = false;
    }
    Ok(none)
}

/// Merge patch of the annotations. A value under today's name is newer.
fn renamed(secret: &ObjectMeta) -> Option<Value> {
    let annotations = secret.annotations.as_ref()?;
    let mut patch = Map::new();
    for (earlier, today) in RENAMED {
        let Some(value) = annotations.get(earlier) else { continue };
        patch.insert(earlier.into(), Value::Null);
        patch.insert(today.into(), json!(annotations.get(today).unwrap_or(value)));
    }
    (!patch.is_empty()).then_some(Value::Object(patch))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patch_of(annotations: Value) -> Option<Value> {
        renamed(&serde_json::from_value(json!({"annotations": annotations})).unwrap())
    }

    #[test]
    fn earlier_names_are_replaced_and_newer_values_stay() {
        let (earlier, today) = RENAMED[0];
        assert_eq!(patch_of(json!({earlier: "june"})), Some(json!({earlier: null, today: "june"})));
        assert_eq!(
            patch_of(json!({earlier: "may", today: "june"})),
            Some(json!({earlier: null, today: "june"}))
        );
        assert_eq!(patch_of(json!({today: "june"})), None);
    }
}
