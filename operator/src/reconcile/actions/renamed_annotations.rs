//! Takes over annotations of Secrets by their earlier names (no client required).

use flaskblog_api::{Child, children::RENAMED};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Map, Value, json};

use super::{Action, ObjectPatch, Purpose, Target};
use crate::model::objects::{Applied, Objects};

/// The patches of Secrets with earlier names.
///
/// Until they are written no rotation may continue: a step that is taken twice loses the password that MySQL has.
pub(super) fn renamed_annotations(applied: &Objects<Applied>) -> Vec<Action> {
    let roles = [Child::DatabaseSecret, Child::SessionSecret, Child::DatabaseCertificates];
    let patch = |role| {
        let secret = &applied.get(role)?.metadata;
        let body = json!({"metadata": {"annotations": renamed(secret)?}});
        Some(Action::Patch(ObjectPatch::new(Purpose::RenameAnnotations, Target::Secret(role), secret, body)))
    };
    roles.into_iter().filter_map(patch).collect()
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
