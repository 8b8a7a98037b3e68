//! Alerts: symptoms for on-call, each with a runbook of its name. At most nine, so that they stay useful.

use flaskblog_api::children::data_claim;
use serde_json::{Value, json};

/// A symptom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// Also the name of its runbook.
    pub name: &'static str,
    /// PromQL expression that is true while the symptom lasts.
    pub expr: String,
    /// How long it must be true.
    pub after: &'static str,
    /// `critical` pages, `warning` can wait for working hours.
    pub severity: &'static str,
    /// One line.
    pub summary: String,
}

/// The blog of an alert or a dashboard.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
}

impl Subject<'_> {
    /// Selects its own series: the PodMonitor names the job after the blog.
    #[must_use]
    pub fn selector(&self) -> String {
        format!(r#"namespace="{}",job="{}""#, self.namespace, self.name)
    }

    /// Selects the series of its volume, which the kubelet exports.
    #[must_use]
    pub fn volume_selector(&self) -> String {
        format!(r#"namespace="{}",persistentvolumeclaim="{}""#, self.namespace, data_claim(self.name))
    }
}

/// The alerts of a running blog with at least that many replicas.
#[must_use]
pub fn blog_alerts(blog: &Subject<'_>, replicas: i32, has_volume: bool) -> Vec<Alert> {
    let (of, named) = (blog.selector(), format!("{}/{}", blog.namespace, blog.name));
    let mut alerts = vec![
        Alert {
            name: "FlaskBlogDown",
            expr: format!("absent(up{{{of}}} == 1)"),
            after: "5m",
            severity: "critical",
            summary: format!("No replica of blog {named} answers."),
        },
        Alert {
            name: "FlaskBlogErrors",
            expr: format!(
                "sum(rate(blog_http_requests_total{{{of},status=~\"5..\"}}[5m])) / \
                 sum(rate(blog_http_requests_total{{{of}}}[5m])) > 0.05"
            ),
            after: "5m",
            severity: "critical",
            summary: format!("Blog {named} fails more than one request in twenty."),
        },
        Alert {
            name: "FlaskBlogSlow",
            expr: format!(
                "histogram_quantile(0.99, sum by (le) (rate(blog_http_request_duration_seconds_bucket{{{of}}}[5m]))) > 1"
            ),
            after: "10m",
            severity: "warning",
            summary: format!("One request in a hundred to blog {named} takes more than a second."),
        },
        Alert {
            name: "FlaskBlogDatabaseDown",
            expr: format!("max(blog_database_up{{{of}}}) == 0"),
            after: "1m",
            severity: "critical",
            summary: format!("No replica of blog {named} reaches its database."),
        },
    ];
    // With a single replica it is FlaskBlogDown.
    if replicas > 1 {
        alerts.push(Alert {
            name: "FlaskBlogReplicasMissing",
            expr: format!("count(up{{{of}}} == 1) < {replicas}"),
            after: "15m",
            severity: "warning",
            summary: format!("Blog {named} has fewer than its {replicas} replicas."),
        });
    }
    if has_volume {
        alerts.push(volume_filling(&blog.volume_selector(), &named));
    }
    alerts
}

fn volume_filling(of: &str, named: &str) -> Alert {
    Alert {
        name: "FlaskBlogVolumeFilling",
        expr: format!(
            "kubelet_volume_stats_available_bytes{{{of}}} / kubelet_volume_stats_capacity_bytes{{{of}}} < 0.15"
        ),
        after: "15m",
        severity: "warning",
        summary: format!("Less than 15 % of the database volume of blog {named} is free."),
    }
}

/// The operator's own alerts.
#[must_use]
pub fn operator_alerts() -> Vec<Alert> {
    vec![
        Alert {
            name: "FlaskBlogOperatorDown",
            expr: "absent(flaskblog_operator_leading == 1)".into(),
            after: "5m",
            severity: "critical",
            summary: "No operator instance holds the leader Lease. Blogs keep serving but are not reconciled.".into(),
        },
        Alert {
            name: "FlaskBlogOperatorFailing",
            expr: "max(flaskblog_operator_backing_off) > 0".into(),
            after: "15m",
            severity: "warning",
            summary: "The operator fails to reconcile a blog.".into(),
        },
        // Certificates are renewed 30 days before they expire.
        Alert {
            name: "FlaskBlogCertificateExpiring",
            expr: "min by (namespace, name) (flaskblog_operator_blog_certificate_not_after_timestamp_seconds) \
                   - time() < 21 * 86400"
                .into(),
            after: "1h",
            severity: "warning",
            summary: "The certificate of MySQL of blog {{ $labels.namespace }}/{{ $labels.name }} expires within three \
                      weeks and isn't renewed."
                .into(),
        },
    ]
}

/// The spec of a PrometheusRule, which is also a Prometheus rules file.
///
/// `runbooks` is the base URL of a runbook page. Aggregation drops the series' labels, so the alert names its blog in labels of
/// its own.
#[must_use]
pub fn groups(name: &str, alerts: &[Alert], about: Option<&Subject<'_>>, runbooks: &str) -> Value {
    let rules: Vec<Value> = alerts
        .iter()
        .map(|alert| {
            let mut labels = json!({"severity": alert.severity});
            if let Some(blog) = about {
                labels["namespace"] = json!(blog.namespace);
                labels["blog"] = json!(blog.name);
            }
            json!({
                "alert": alert.name,
                "expr": alert.expr,
                "for": alert.after,
                "labels": labels,
                "annotations": {"summary": alert.summary, "runbook_url": format!("{runbooks}{}.md", alert.name)},
            })
        })
        .collect();
    json!({"groups": [{"name": name, "rules": rules}]})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_at_most_nine_alerts_and_each_has_a_runbook() {
        let blog = Subject { namespace: "press", name: "daily" };
        let all: Vec<Alert> = blog_alerts(&blog, 2, true).into_iter().chain(operator_alerts()).collect();
        assert!(all.len() <= 9, "{} alerts", all.len());
        for alert in all {
            let page = format!("{}/../docs/runbooks/{}.md", env!("CARGO_MANIFEST_DIR"), alert.name);
            let text = std::fs::read_to_string(&page).unwrap_or_default();
            for part in ["## What it means", "## Impact", "## Diagnosis", "## Fix"] {
                assert!(text.contains(part), "{page} lacks {part}");
            }
            assert!(text.contains(alert.severity) && text.contains(alert.after), "{page}: severity or time");
        }
    }

    #[test]
    fn a_single_replica_cant_be_missing_beside_others_and_an_external_database_has_no_volume() {
        let blog = Subject { namespace: "press", name: "daily" };
        let names = |replicas, volume| -> Vec<&str> {
            blog_alerts(&blog, replicas, volume).iter().map(|alert| alert.name).collect()
        };
        assert!(names(2, true).contains(&"FlaskBlogReplicasMissing"));
        assert!(!names(1, true).contains(&"FlaskBlogReplicasMissing"));
        assert!(names(1, true).contains(&"FlaskBlogVolumeFilling"));
        assert!(!names(1, false).contains(&"FlaskBlogVolumeFilling"));
    }
}
