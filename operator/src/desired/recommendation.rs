use flaskblog_api::Child;
use serde_json::{Value, json};

use super::database_statefulset::MYSQL_CONTAINER;
use crate::validate::Plan;

/// Has the vertical autoscaler's recommender find out what MySQL needs. In its mode `Off` nothing is evicted or changed: only a
/// person knows when a restart of MySQL suits
/// (<https://github.com/kubernetes/autoscaler/blob/master/vertical-pod-autoscaler/docs/features.md>).
pub(super) fn recommendation(plan: &Plan) -> Option<Value> {
    let database = plan.database.managed()?;
    (database.spec.recommend_resources && !database.recommender_missing).then(|| {
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
