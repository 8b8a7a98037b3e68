use flaskblog_api::Child;
use serde_json::{Value, json};

use crate::model::{containers::MYSQL_CONTAINER, plan::Plan};

/// Whether one is made. The recommender looks only at the topmost scalable owner of a pod, and a FlaskBlog can be scaled; so
/// while it looks, MySQL's StatefulSet has the FlaskBlog for its owner, but not for its controller.
pub(super) fn is_wanted(plan: &Plan) -> bool {
    plan.database.managed().is_some_and(|one| one.spec.recommend_resources && !one.recommender_missing)
}

/// Has the vertical autoscaler's recommender find out what MySQL needs. In its mode `Off` nothing is evicted or changed: only a
/// person knows when a restart of MySQL suits
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
