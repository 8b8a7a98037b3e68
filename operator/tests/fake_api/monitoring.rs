//! A cluster with and without the monitoring kinds.

use std::time::Duration;

use serde_json::json;

use crate::{
    BLOG, condition, context, fake_with, look, serve, step,
    support::fake::{FakeApi, Fault},
    workloads_become_ready,
};

const GROUP: &str = "monitoring.coreos.com/v1";
const MONITOR: &str = "/apis/monitoring.coreos.com/v1/namespaces/press/podmonitors/daily";
const ALERTS: &str = "/apis/monitoring.coreos.com/v1/namespaces/press/prometheusrules/daily";
const DASHBOARD: &str = "/api/v1/namespaces/press/configmaps/daily-dashboard";

fn everything() -> serde_json::Value {
    json!({"monitoring": {"serviceMonitor": true, "prometheusRule": true, "dashboard": true}})
}

const BOTH: [(&str, &str); 2] = [("podmonitors", "PodMonitor"), ("prometheusrules", "PrometheusRule")];

#[tokio::test]
async fn without_the_kinds_the_blog_is_unharmed_and_told_what_to_install() {
    let fake = fake_with(everything());
    step(&fake).await.unwrap();
    workloads_become_ready(&fake, 2);
    step(&fake).await.unwrap();
    assert_eq!(condition(&fake, "Ready")["status"], "True");
    assert_eq!(condition(&fake, "Degraded")["status"], "False");
    let monitored = condition(&fake, "Monitored");
    assert_eq!(
        (&monitored["status"], &monitored["reason"]),
        (&json!("False"), &json!("MonitoringUnavailable"))
    );
    let message = monitored["message"].as_str().unwrap();
    for word in ["PodMonitor and PrometheusRule", "podmonitors.monitoring.coreos.com", "install"] {
        assert!(message.contains(word), "{word} not in {message}");
    }
    assert!(fake.get(DASHBOARD).is_some(), "a ConfigMap needs no definition");
    assert!(fake.get(MONITOR).is_none() && fake.get(ALERTS).is_none());
    let told = |fake: &FakeApi| {
        fake.events().iter().filter(|event| event["reason"] == "MonitoringUnavailable").count()
    };
    assert_eq!(told(&fake), 1, "{:?}", fake.events());
    fake.take_writes();
    step(&fake).await.unwrap();
    assert_eq!(fake.take_writes(), Vec::<String>::new(), "a blog that waits for a kind is settled");
    assert_eq!(told(&fake), 1);
}

#[tokio::test]
async fn only_the_kind_that_is_missing_is_missed() {
    let fake = fake_with(everything());
    serve(&fake, GROUP, &BOTH[..1]);
    step(&fake).await.unwrap();
    assert!(fake.get(MONITOR).is_some() && fake.get(ALERTS).is_none());
    let message = condition(&fake, "Monitored")["message"].to_string();
    assert!(message.contains("PrometheusRule") && !message.contains("PodMonitor"), "{message}");
}

#[tokio::test]
async fn kinds_that_come_later_are_used_by_the_next_look_within_a_minute_and_a_half() {
    let fake = fake_with(everything());
    let ctx = context(&fake);
    look(&fake, &ctx).await;
    workloads_become_ready(&fake, 2);
    let next = look(&fake, &ctx).await;
    assert_eq!(next, kube::runtime::controller::Action::requeue(Duration::from_secs(60)));
    serve(&fake, GROUP, &BOTH);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(60)).await;
    look(&fake, &ctx).await;
    assert!(fake.get(MONITOR).is_some() && fake.get(ALERTS).is_some());
    assert_eq!(condition(&fake, "Monitored")["reason"], "Monitored");
    fake.take_writes();
    let next = look(&fake, &ctx).await;
    assert_eq!(fake.take_writes(), Vec::<String>::new());
    assert_ne!(next, kube::runtime::controller::Action::requeue(Duration::from_secs(60)), "it is done");
}

#[tokio::test]
async fn what_monitoring_made_goes_with_its_field() {
    let fake = fake_with(everything());
    serve(&fake, GROUP, &BOTH);
    step(&fake).await.unwrap();
    assert!(fake.get(MONITOR).is_some() && fake.get(ALERTS).is_some() && fake.get(DASHBOARD).is_some());
    fake.edit(BLOG, |blog| blog["spec"]["monitoring"] = json!({"prometheusRule": true}));
    step(&fake).await.unwrap();
    assert!(fake.get(MONITOR).is_none() && fake.get(ALERTS).is_some() && fake.get(DASHBOARD).is_none());
    fake.edit(BLOG, |blog| blog["spec"]["monitoring"] = json!(null));
    step(&fake).await.unwrap();
    assert!(fake.get(ALERTS).is_none());
    let blog = fake.get(BLOG).unwrap();
    assert!(!blog["status"].to_string().contains("Monitored"), "{blog}");
}

#[tokio::test]
async fn a_refused_dashboard_is_an_error_like_any_other() {
    let fake = fake_with(everything());
    serve(&fake, GROUP, &BOTH);
    fake.disturb(|line, _| line.contains("configmaps").then_some(Fault::Refused(403)));
    assert_eq!(step(&fake).await.unwrap_err().reason(), "Forbidden");
    assert_eq!(condition(&fake, "Degraded")["reason"], "Forbidden");
}
