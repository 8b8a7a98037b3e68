use flaskblog_api::Child;
use serde_json::{Value, json};

use crate::model::{containers::MYSQL_CONTAINER, plan::Plan};

/// Whether the plan has a recommendation.
///
/// The recommender considers only the topmost scalable owner of a pod, and a FlaskBlog can be scaled. So MySQL's StatefulSet
/// has the FlaskBlog as owner meanwhile, but not as controller.
pub(super) fn is_wanted(plan: &Plan) -> bool {
    plan.database.managed().is_some_and(|one| one.spec.recommend_resources && !one.recommender_missing)
}

/// A VerticalPodAutoscaler that recommends MySQL's resources.
///
/// In mode `Off` it evicts and changes nothing, since only a user can schedule a restart of MySQL
/// (<https://github.com/kubernetes/autoscaler/blob/master/vertical-pod-autoscaler/docs/features.md>).
pub(super) fn recommendation(plan: &Plan) -> Option<Value> {
    is_wanted(plan).then(|| {
        json!({
            "spec": {
                "targetRef": {
                    "apiVersion": "apps/v1",
                    "kind": "StatefulSet",
                    "name": Child::Database.name(&plan.id.name),
                },
                "updatePolicy": {"updateMode": "Off"},
                "resourcePolicy": {"containerPolicies": [
                    {"containerName": MYSQL_CONTAINER, "mode": "Auto", "controlledResources": ["cpu", "memory"]},
                    {"containerName": "*", "mode": "Off"},
                ]},
            },
        })
    })
}
