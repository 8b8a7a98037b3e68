//! Grafana dashboards: a few panels each, two in a row.

use serde_json::{Value, json};

use super::alerts::Subject;
use crate::model::hash::digits_of;

/// Grafana's grid has 24 columns.
const WIDTH: usize = 12;
const HEIGHT: usize = 8;

/// One time series panel.
struct Panel {
    title: &'static str,
    /// Grafana's unit: `reqps`, `s`, `short`, `percentunit`.
    unit: &'static str,
    /// Legend and expression of each line.
    lines: Vec<(&'static str, String)>,
}

fn panel(title: &'static str, unit: &'static str, lines: Vec<(&'static str, String)>) -> Panel {
    Panel { title, unit, lines }
}

/// Median and 99th percentile of a histogram.
fn times(title: &'static str, buckets: &str) -> Panel {
    let quantile =
        |part: &str| format!("histogram_quantile({part}, sum by (le) (rate({buckets}[$__rate_interval])))");
    panel(title, "s", vec![("half", quantile("0.5")), ("99 of 100", quantile("0.99"))])
}

/// Rate of a counter by label.
fn rate_by(label: &str, series: &str) -> String {
    format!("sum by ({label}) (rate({series}[$__rate_interval]))")
}

/// The dashboard of one blog.
#[must_use]
pub fn blog_dashboard(blog: &Subject<'_>, has_volume: bool) -> Value {
    let title = format!("Flaskr blog {}/{}", blog.namespace, blog.name);
    let mut panels = traffic(&blog.selector());
    panels.extend(database(&blog.selector()));
    if has_volume {
        let of = blog.volume_selector();
        let used =
            format!("kubelet_volume_stats_used_bytes{{{of}}} / kubelet_volume_stats_capacity_bytes{{{of}}}");
        panels.push(panel("Database volume in use", "percentunit", vec![("used", used)]));
    }
    dashboard(&uid(blog), &title, &panels)
}

/// Panels of HTTP traffic.
fn traffic(of: &str) -> Vec<Panel> {
    let requests =
        |more: &str| format!("sum(rate(blog_http_requests_total{{{of}{more}}}[$__rate_interval]))");
    let by = |label: &str, metric: &str| rate_by(label, &format!("{metric}{{{of}}}"));
    vec![
        panel("Requests", "reqps", vec![("{{status}}", by("status", "blog_http_requests_total"))]),
        times("Time until the answer", &format!("blog_http_request_duration_seconds_bucket{{{of}}}")),
        panel(
            "Failed requests",
            "percentunit",
            vec![("failed", format!("({} or vector(0)) / {}", requests(",status=~\"5..\""), requests("")))],
        ),
        panel("Replicas that answer", "short", vec![("replicas", format!("sum(up{{{of}}})"))]),
        panel("Tries to log in", "reqps", vec![("{{outcome}}", by("outcome", "blog_logins_total"))]),
        panel(
            "Last known pages shown",
            "reqps",
            vec![("pages", format!("sum(rate(blog_stale_pages_total{{{of}}}[$__rate_interval]))"))],
        ),
    ]
}

/// Panels of the database. Every replica reports the same MySQL, so `max` merges them.
fn database(of: &str) -> Vec<Panel> {
    let most = |metric: &str| format!("max({metric}{{{of}}})");
    let rate = |metric: &str| format!("max(rate({metric}{{{of}}}[$__rate_interval]))");
    vec![
        panel("Database reached", "short", vec![("1 is yes", most("blog_database_up"))]),
        panel(
            "The blog's connections",
            "short",
            vec![
                ("open", format!("sum(blog_database_connections{{{of}}})")),
                ("idle", format!("sum(blog_database_connections_idle{{{of}}})")),
            ],
        ),
        panel(
            "MySQL: statements",
            "ops",
            vec![
                ("all", rate("blog_mysql_questions_total")),
                ("slow", rate("blog_mysql_slow_queries_total")),
            ],
        ),
        panel(
            "MySQL: connections",
            "short",
            vec![
                ("open", most("blog_mysql_threads_connected")),
                ("at work", most("blog_mysql_threads_running")),
            ],
        ),
        panel(
            "MySQL: pages read",
            "ops",
            vec![
                ("wanted", rate("blog_mysql_innodb_buffer_pool_read_requests_total")),
                ("from disk", rate("blog_mysql_innodb_buffer_pool_reads_total")),
            ],
        ),
        panel("MySQL: time since its start", "s", vec![("up", most("blog_mysql_uptime_seconds"))]),
    ]
}

/// The operator's own dashboard.
#[must_use]
pub fn operator_dashboard() -> Value {
    let panels = [
        panel(
            "Blogs",
            "short",
            vec![
                ("all", "count(flaskblog_operator_blog_ready)".into()),
                ("ready", "sum(flaskblog_operator_blog_ready)".into()),
            ],
        ),
        panel(
            "Blogs that wait after a failure",
            "short",
            vec![("blogs", "max(flaskblog_operator_backing_off)".into())],
        ),
        panel(
            "Reconciles",
            "ops",
            vec![("{{result}}", rate_by("result", "flaskblog_operator_reconciles_total"))],
        ),
        times("Time of a reconcile", "flaskblog_operator_reconcile_duration_seconds_bucket"),
        panel(
            "Writes",
            "ops",
            vec![("{{verb}} {{kind}}", rate_by("verb, kind", "flaskblog_operator_api_writes_total"))],
        ),
        panel(
            "Watches that fail",
            "ops",
            vec![(
                "failures",
                "sum(rate(flaskblog_operator_watch_errors_total[$__rate_interval])) or vector(0)".into(),
            )],
        ),
        panel("Instances that lead", "short", vec![("instances", "sum(flaskblog_operator_leading)".into())]),
    ];
    dashboard("flaskblog-operator", "Flaskr blogs: operator", &panels)
}

/// A stable uid of at most 40 characters, Grafana's limit.
fn uid(blog: &Subject<'_>) -> String {
    format!("flaskblog-{}", digits_of(format!("{}/{}", blog.namespace, blog.name).as_bytes()))
}

fn dashboard(uid: &str, title: &str, panels: &[Panel]) -> Value {
    let panels: Vec<Value> =
        panels.iter().enumerate().map(|(number, panel)| picture(number, panel)).collect();
    json!({
        "uid": uid, "title": title, "tags": ["flaskblog"], "schemaVersion": 39, "editable": false,
        "refresh": "30s", "time": {"from": "now-3h", "to": "now"}, "timezone": "browser",
        "templating": {"list": [{"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}]},
        "panels": panels,
    })
}

fn picture(number: usize, panel: &Panel) -> Value {
    let source = json!({"type": "prometheus", "uid": "${datasource}"});
    let targets: Vec<Value> = panel
        .lines
        .iter()
        .zip('A'..)
        .map(|((legend, expr), id)| {
            json!({"refId": id.to_string(), "datasource": source, "expr": expr, "legendFormat": legend})
        })
        .collect();
    json!({
        "id": number + 1, "type": "timeseries", "title": panel.title, "datasource": source, "targets": targets,
        "gridPos": {"x": number % 2 * WIDTH, "y": number / 2 * HEIGHT, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
    })
}

/// A dashboard's PromQL expressions with their panels' titles, for that step.
#[must_use]
pub fn expressions(dashboard: &Value, interval: &str) -> Vec<(String, String)> {
    let panels = dashboard["panels"].as_array().into_iter().flatten();
    panels
        .flat_map(|panel| {
            let title = panel["title"].as_str().unwrap_or_default();
            panel["targets"].as_array().into_iter().flatten().map(move |target| (title, &target["expr"]))
        })
        .map(|(title, expr)| {
            let expr = expr.as_str().unwrap_or_default().replace("$__rate_interval", interval);
            (title.to_owned(), expr)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashboards_of_two_blogs_differ_in_title_and_uid_and_stay_the_same() {
        let of = |namespace, name| blog_dashboard(&Subject { namespace, name }, true);
        let (one, other) = (of("a", "b-c"), of("a-b", "c"));
        assert_eq!(one, of("a", "b-c"));
        assert_ne!((&one["uid"], &one["title"]), (&other["uid"], &other["title"]));
        assert!(one["uid"].as_str().unwrap().len() <= 40);
    }

    #[test]
    fn every_panel_of_a_dashboard_has_its_own_place_and_something_to_show() {
        let blog = blog_dashboard(&Subject { namespace: "press", name: "daily" }, true);
        for dashboard in [blog, operator_dashboard()] {
            let panels = dashboard["panels"].as_array().unwrap();
            let places: std::collections::BTreeSet<String> =
                panels.iter().map(|panel| panel["gridPos"].to_string()).collect();
            assert_eq!(places.len(), panels.len());
            assert!(expressions(&dashboard, "1m").len() >= panels.len());
            assert!(
                expressions(&dashboard, "1m").iter().all(|(_, expr)| !expr.contains('$') && !expr.is_empty())
            );
        }
    }
}
