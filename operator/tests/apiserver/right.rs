//! The chart's permissions, one by one.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::house::chart_rules;

/// One verb on one resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    pub group: String,
    pub resource: String,
    pub verb: String,
}

impl Right {
    /// Every permission of the chart.
    pub fn all() -> BTreeSet<Self> {
        let texts = |value: &Value| -> Vec<String> { serde_json::from_value(value.clone()).unwrap() };
        let mut all = BTreeSet::new();
        for rule in chart_rules().as_array().unwrap() {
            for group in texts(&rule["apiGroups"]) {
                for resource in texts(&rule["resources"]) {
                    for verb in texts(&rule["verbs"]) {
                        all.insert(Self { group: group.clone(), resource: resource.clone(), verb });
                    }
                }
            }
        }
        all
    }

    pub fn rule(&self) -> Value {
        json!({"apiGroups": [self.group], "resources": [self.resource], "verbs": [self.verb]})
    }

    pub fn is(&self, resource: &str, verb: &str) -> bool {
        self.resource == resource && self.verb == verb
    }

    pub fn is_of_a_watch(&self) -> bool {
        matches!(self.verb.as_str(), "list" | "watch") && !matches!(self.resource.as_str(), "pods" | "events")
    }

    /// The API server's message, which must appear where users expect it.
    pub fn words(&self) -> String {
        format!("cannot {} resource \"{}\"", self.verb, self.resource)
    }

    pub fn namespace(&self) -> String {
        format!("no-{}-{}", self.verb, self.resource.replace('/', "-"))
    }
}

/// A spec that enables every child.
pub fn whole() -> Value {
    json!({"ingress": {"host": "blog.example.org"}, "autoscaling": {"minReplicas": 2, "maxReplicas": 4},
        "monitoring": {"serviceMonitor": true, "prometheusRule": true, "dashboard": true},
        "database": {"managed": {"recommendResources": true}}})
}

/// A spec that enables every child, with policy `Delete`.
pub fn owned() -> Value {
    let mut spec = whole();
    spec["deletionPolicy"] = "Delete".into();
    spec
}

/// A minimal spec.
pub fn bare() -> Value {
    json!({"replicas": 1, "networkPolicy": {"enabled": false}})
}
