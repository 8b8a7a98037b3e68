//! Names of an earlier build in MySQL's pod, kept while only they differ (no client required).

use std::sync::Arc;

use flaskblog_api::{Child, children::TEMPLATE_HASH};
use kube::{ResourceExt, api::DynamicObject};
use serde_json::Value;

use super::{desired, restamped};
use crate::model::{
    containers::{CREDENTIAL_SYNC, EARLIER_CREDENTIAL_SYNC},
    hash::hash_of,
    objects::{ByRole, Desired, Objects},
    plan::Plan,
};

/// All objects of the plan, for a blog with these live objects.
///
/// A name alone never restarts MySQL: the next change of its pod template brings the new names.
#[must_use]
pub fn desired_over(plan: &Plan, live: &ByRole) -> Objects<Desired> {
    let wanted = desired(plan);
    let earlier = wanted
        .get(Child::Database)
        .zip(live.get(&Child::Database))
        .and_then(|(wanted, live)| with_earlier_names(wanted, live));
    match earlier {
        Some(set) => wanted.with(Child::Database, Arc::new(set)),
        None => wanted,
    }
}

/// The StatefulSet with the earlier names, if the live one is exactly that.
fn with_earlier_names(wanted: &DynamicObject, live: &DynamicObject) -> Option<DynamicObject> {
    let template = wanted.data.pointer("/spec/template")?.to_string();
    let earlier: Value =
        serde_json::from_str(&template.replace(CREDENTIAL_SYNC, EARLIER_CREDENTIAL_SYNC)).ok()?;
    if live.annotations().get(TEMPLATE_HASH) != Some(&hash_of(&earlier)) {
        return None;
    }
    let mut set = wanted.clone();
    set.data["spec"]["template"] = earlier;
    Some(restamped(set))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconcile::desired::tests::plan;

    /// The annotation of the last build with the earlier names, for the same plan.
    const EARLIER_HASH: &str = "c5ec22c54f1f0628";

    fn live(template_hash: &str) -> ByRole {
        let mut set = desired(&plan(serde_json::json!({}))).get(Child::Database).unwrap().clone();
        set.annotations_mut().insert(TEMPLATE_HASH.into(), template_hash.into());
        [(Child::Database, Arc::new(set))].into()
    }

    fn containers(objects: &Objects<Desired>) -> Vec<String> {
        let set = objects.get(Child::Database).unwrap();
        let all = set.data.pointer("/spec/template/spec/containers").unwrap().as_array().unwrap();
        all.iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn template_of_the_earlier_build_keeps_its_names() {
        let kept = desired_over(&plan(serde_json::json!({})), &live(EARLIER_HASH));
        assert_eq!(containers(&kept), ["mysql", EARLIER_CREDENTIAL_SYNC]);
        assert_eq!(kept.get(Child::Database).unwrap().annotations()[TEMPLATE_HASH], EARLIER_HASH);
    }

    #[test]
    fn template_that_changes_anyway_gets_the_new_names() {
        let changed =
            plan(serde_json::json!({"database": {"managed": {"config": {"max_connections": "9"}}}}));
        let with = desired_over(&changed, &live(EARLIER_HASH));
        assert_eq!(containers(&with), ["mysql", CREDENTIAL_SYNC]);
        let new = desired_over(&plan(serde_json::json!({})), &ByRole::new());
        assert_eq!(containers(&new), ["mysql", CREDENTIAL_SYNC]);
    }
}
