use std::collections::BTreeMap;

use flaskblog_api::children::{Component, selector};
use k8s_openapi::{
    api::networking::v1::{
        NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer,
        NetworkPolicyPort, NetworkPolicySpec,
    },
    apimachinery::pkg::{
        apis::meta::v1::{LabelSelector, LabelSelectorRequirement},
        util::intstr::IntOrString,
    },
};

use super::pods::{MYSQL_PORT, pod_selector};
use crate::model::plan::Plan;

const COMPONENT: &str = "app.kubernetes.io/component";

/// Allows connections from the blog's pods and backups to MySQL.
///
/// MySQL itself may open none.
pub(super) fn database_policy(plan: &Plan) -> Option<NetworkPolicy> {
    plan.database.managed()?;
    plan.network_policy.then(|| NetworkPolicy {
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(pod_selector(plan, Component::Database)),
            policy_types: Some(vec!["Ingress".into(), "Egress".into()]),
            ingress: Some(vec![NetworkPolicyIngressRule {
                from: Some(vec![NetworkPolicyPeer {
                    pod_selector: Some(clients(plan)),
                    ..NetworkPolicyPeer::default()
                }]),
                ports: Some(vec![tcp(MYSQL_PORT)]),
            }]),
            egress: Some(Vec::<NetworkPolicyEgressRule>::new()),
        }),
        ..NetworkPolicy::default()
    })
}

/// Allows all connections to the ports of pages, probes and metrics.
///
/// A stricter policy is the administrator's choice. Egress (a database anywhere, DNS) is not restricted.
pub(super) fn app_policy(plan: &Plan) -> Option<NetworkPolicy> {
    plan.network_policy.then(|| NetworkPolicy {
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(pod_selector(plan, Component::App)),
            policy_types: Some(vec!["Ingress".into()]),
            ingress: Some(vec![NetworkPolicyIngressRule {
                from: None,
                ports: Some(vec![tcp(5000), tcp(9090)]),
            }]),
            ..NetworkPolicySpec::default()
        }),
        ..NetworkPolicy::default()
    })
}

/// Pods of this blog that may connect to its database.
fn clients(plan: &Plan) -> LabelSelector {
    let mut labels: BTreeMap<String, String> = selector(&plan.id.name, Component::App);
    labels.remove(COMPONENT);
    LabelSelector {
        match_labels: Some(labels),
        match_expressions: Some(vec![LabelSelectorRequirement {
            key: COMPONENT.into(),
            operator: "In".into(),
            values: Some(vec!["app".into(), "backup".into()]),
        }]),
    }
}

fn tcp(port: i32) -> NetworkPolicyPort {
    NetworkPolicyPort { port: Some(IntOrString::Int(port)), protocol: Some("TCP".into()), end_port: None }
}
