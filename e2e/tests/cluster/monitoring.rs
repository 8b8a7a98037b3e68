//! A real Prometheus under the Prometheus operator: what the fields of `spec.monitoring` and the chart's values lead to.

use std::collections::BTreeSet;

use e2e::{commands, done, helm, kubectl, kubectl_json};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::{
    test_blog::TestBlog,
    user::{User, Visitors},
};

const SYSTEM: &str = "flaskblog-system";
/// Long enough for two scrapes.
const INTERVAL: &str = "1m";
/// The only panel that a kind cluster has nothing to show in: its volumes are directories of a node, of which the kubelet
/// measures none by itself. Where a driver does, the metrics are those of the alert's own test.
const NOT_MEASURED: &str = "kubelet_volume_stats_";

/// The answer of Prometheus, through the API server.
fn query(expr: &str) -> Vec<Value> {
    let service = "/api/v1/namespaces/monitoring/services/prometheus-operated:9090/proxy/api/v1/query";
    let path = format!("{service}?query={}", utf8_percent_encode(expr, NON_ALPHANUMERIC));
    let answer: Value = serde_json::from_str(&kubectl(&["get", "--raw", &path])).unwrap();
    assert_eq!(answer["status"], "success", "{expr}: {answer}");
    answer["data"]["result"].as_array().unwrap().clone()
}

/// The numbers of an answer. What was divided by nothing is none.
fn numbers(expr: &str) -> Vec<f64> {
    let parsed =
        |one: &Value| one["value"][1].as_str()?.parse::<f64>().ok().filter(|number| number.is_finite());
    query(expr).iter().filter_map(parsed).collect()
}

fn is_firing(alert: &str) -> bool {
    let of = format!(r#"alertname="{alert}",alertstate="firing",namespace="default""#);
    !query(&format!("ALERTS{{{of}}}")).is_empty()
}

/// Runs the command of the page.
fn watch_the_operator() {
    let all = commands(include_str!("../../../docs/monitoring.md"));
    assert_eq!(all.len(), 1, "{all:?}");
    done(&all[0]);
}

fn leave_the_operator_alone() {
    let chart = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/operator");
    let off = "monitoring.serviceMonitor=false,monitoring.prometheusRule=false,monitoring.dashboard=false";
    let change =
        ["upgrade", "operator", chart, "-n", SYSTEM, "--reset-then-reuse-values", "--set", off, "--wait"];
    let _ = helm("helm", &change);
}

fn every_command_of_the_runbooks_works() {
    let mut count = 0;
    for page in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/runbooks")).unwrap() {
        for command in commands(&std::fs::read_to_string(page.unwrap().path()).unwrap()) {
            done(&command);
            count += 1;
        }
    }
    assert!(count >= 20, "only {count} commands were found");
}

/// Every expression of a dashboard as it lies in the cluster, with the name of its panel.
fn expressions(namespace: &str, config_map: &str) -> Vec<(String, String)> {
    let map =
        kubectl_json(&["get", "configmap", config_map, "-n", namespace]).expect("the dashboard is there");
    assert_eq!(map["metadata"]["labels"]["grafana_dashboard"], "1");
    let text = map["data"].as_object().unwrap().values().next().unwrap().as_str().unwrap();
    let dashboard: Value = serde_json::from_str(text).unwrap();
    let mut all = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            let expr = target["expr"].as_str().unwrap().replace("$__rate_interval", INTERVAL);
            all.push((panel["title"].as_str().unwrap().to_owned(), expr));
        }
    }
    assert!(all.len() >= 7, "{config_map} has only {} expressions", all.len());
    all
}

fn every_panel_has_figures(blog: &TestBlog) {
    let mut all = expressions("default", "blog-dashboard");
    all.extend(expressions(SYSTEM, "operator-dashboard"));
    let (mut without, mut pokes) = (BTreeSet::new(), 0);
    for (panel, expr) in &all {
        if expr.contains(NOT_MEASURED) {
            assert!(query(expr).is_empty(), "{expr} has figures here: take it off the exceptions");
            without.insert(panel.clone());
            continue;
        }
        blog.eventually(&format!("the panel {panel} has figures: {expr}"), || {
            // A panel shows how long reconciles take, so there has to be one.
            pokes += 1;
            let poke = format!("poke={pokes}");
            let _ = blog.kubectl(&["annotate", "serviceaccount/blog", "--overwrite", &poke]);
            (!numbers(expr).is_empty()).then_some(())
        });
    }
    assert_eq!(without, BTreeSet::from(["Database volume in use".to_owned()]));
}

/// MySQL is kept down as long as the alert needs: a killed one is back within seconds.
fn the_alert_comes_and_goes_with_mysql(blog: &TestBlog) {
    assert!(!is_firing("FlaskBlogDatabaseDown"));
    blog.patch_spec(&json!({"suspend": true}));
    blog.until_condition("Suspended", "True", "Suspended");
    let _ = blog.kubectl(&["scale", "statefulset/blog-mysql", "--replicas=0"]);
    let force = ["--grace-period=0", "--force", "--ignore-not-found"];
    let _ = blog.kubectl(&[&["delete", "pod", "blog-mysql-0"], &force[..]].concat());
    blog.eventually("the alert has come", || is_firing("FlaskBlogDatabaseDown").then_some(()));
    assert!(!is_firing("FlaskBlogDown"), "the replicas serve on");
    assert!(query(r#"blog_mysql_uptime_seconds{namespace="default",job="blog"}"#).is_empty());
    blog.patch_spec(&json!({"suspend": false}));
    blog.wait_ready();
    blog.eventually("the alert has gone", || (!is_firing("FlaskBlogDatabaseDown")).then_some(()));
}

#[tokio::test]
async fn prometheus_fills_every_panel_and_alerts_while_mysql_is_down() {
    // Alone, as it changes the release of the operator.
    let blog = TestBlog::acquire_alone();
    watch_the_operator();
    blog.patch_spec(
        &json!({"monitoring": {"serviceMonitor": true, "prometheusRule": true, "dashboard": true}}),
    );
    // At the latest when the operator has noticed that the cluster has the kinds by now.
    blog.until_condition("Monitored", "True", "Monitored");
    blog.wait_ready();
    let author = User::registered(&blog.url).await;
    author.write("Measured").await;
    blog.eventually("all replicas are collected from", || {
        (numbers(r#"sum(up{namespace="default",job="blog"})"#) == [blog.pods("app").len() as f64])
            .then_some(())
    });
    blog.eventually("MySQL's figures are there", || {
        let uptime = numbers(r#"max(blog_mysql_uptime_seconds{namespace="default",job="blog"})"#);
        uptime.first().is_some_and(|uptime| *uptime > 0.0).then_some(())
    });
    blog.eventually("the operator reports that the blog is ready", || {
        let ready = numbers(r#"flaskblog_operator_blog_ready{namespace="default",name="blog"}"#);
        (ready == [1.0]).then_some(())
    });
    let readers = Visitors::readers(2, &blog.url);
    every_panel_has_figures(&blog);
    assert!(readers.noticed_nothing() > 10);
    every_command_of_the_runbooks_works();
    the_alert_comes_and_goes_with_mysql(&blog);
    blog.patch_spec(&json!({"monitoring": null}));
    for (kind, name) in [("podmonitor", "blog"), ("prometheusrule", "blog"), ("configmap", "blog-dashboard")]
    {
        blog.eventually(&format!("{kind} {name} is gone"), || {
            blog.object(kind, name).is_none().then_some(())
        });
    }
    leave_the_operator_alone();
    let _ = blog.kubectl(&["annotate", "serviceaccount/blog", "poke-"]);
    blog.restored();
}
