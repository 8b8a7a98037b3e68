use flaskblog_api::children::{Component, selector};
use k8s_openapi::{api::core::v1::ConfigMap, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use serde_json::{Value, json};

use crate::{
    model::plan::{HibernationPhase, Plan},
    monitoring::{Subject, blog_alerts, blog_dashboard, groups},
};

fn subject(plan: &Plan) -> Subject<'_> {
    Subject { namespace: &plan.id.namespace, name: &plan.id.name }
}

/// Scrapes the metrics port of every replica.
///
/// The Service doesn't expose that port, since it may be public.
pub(super) fn monitor(plan: &Plan) -> Option<Value> {
    let wanted = &plan.monitoring.wanted;
    wanted.service_monitor.then(|| {
        json!({
            "metadata": {"labels": wanted.labels},
            "spec": {
                "jobLabel": "app.kubernetes.io/instance",
                "selector": {"matchLabels": selector(&plan.id.name, Component::App)},
                "podMetricsEndpoints": [{"port": "admin", "path": "/metrics"}],
            },
        })
    })
}

/// Alerts of a running blog. A hibernated one, or one without replicas, has none.
pub(super) fn alerts(plan: &Plan) -> Option<Value> {
    let wanted = &plan.monitoring.wanted;
    let replicas = plan.app.fewest_replicas();
    (wanted.prometheus_rule && plan.stage == HibernationPhase::Running && replicas > 0).then(|| {
        let alerts = blog_alerts(&subject(plan), replicas, plan.database.managed().is_some());
        let name = format!("flaskblog-{}", plan.id.name);
        json!({"metadata": {"labels": wanted.labels}, "spec": groups(&name, &alerts, Some(&subject(plan)), &plan.monitoring.runbooks)})
    })
}

/// A dashboard as Grafana's sidecar discovers it.
pub(super) fn dashboard(plan: &Plan) -> Option<ConfigMap> {
    let wanted = &plan.monitoring.wanted;
    wanted.dashboard.then(|| {
        let dashboard = blog_dashboard(&subject(plan), plan.database.managed().is_some());
        let mut labels = wanted.labels.clone();
        labels.insert("grafana_dashboard".into(), "1".into());
        ConfigMap {
            metadata: ObjectMeta { labels: Some(labels), ..ObjectMeta::default() },
            data: Some(
                [(format!("{}-{}.json", plan.id.namespace, plan.id.name), format!("{dashboard:#}"))].into(),
            ),
            ..ConfigMap::default()
        }
    })
}
