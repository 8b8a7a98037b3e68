use flaskblog_api::children::{Component, selector};
use k8s_openapi::{
    api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec},
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};

use crate::model::plan::Plan;

/// Allows one unavailable replica. With a single replica it would block every node drain, so there is none.
pub(super) fn disruption_budget(plan: &Plan) -> Option<PodDisruptionBudget> {
    (plan.app.fewest_replicas() >= 2).then(|| PodDisruptionBudget {
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(LabelSelector {
                match_labels: Some(selector(&plan.id.name, Component::App)),
                ..LabelSelector::default()
            }),
            // An unhealthy pod must not block a node drain (KEP-3017).
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".into()),
            ..PodDisruptionBudgetSpec::default()
        }),
        ..PodDisruptionBudget::default()
    })
}
