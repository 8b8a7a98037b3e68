use flaskblog_api::children::{Component, selector};
use k8s_openapi::{
    api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec},
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};

use crate::model::plan::Plan;

/// Lets one replica go at a time. Below two replicas there is none: it would block every node drain.
pub(super) fn disruption_budget(plan: &Plan) -> Option<PodDisruptionBudget> {
    (plan.app.fewest_replicas() >= 2).then(|| PodDisruptionBudget {
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(LabelSelector {
                match_labels: Some(selector(&plan.id.name, Component::App)),
                ..LabelSelector::default()
            }),
            // A pod that is broken anyway must not keep a node from being drained (KEP-3017).
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".into()),
            ..PodDisruptionBudgetSpec::default()
        }),
        ..PodDisruptionBudget::default()
    })
}
