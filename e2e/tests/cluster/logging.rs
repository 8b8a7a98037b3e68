//! The page about logs, as far as it goes where the images of Elasticsearch, Kibana and fluentd can't be pulled.

use std::collections::BTreeMap;

use e2e::{commands, done, eventually, kubectl, kubectl_json};
use serde_json::Value;

use crate::main_job::Namespace;

const NAMESPACE: &str = "logging";

/// The pods that have a node, by the container that they are there for.
fn placed() -> BTreeMap<String, usize> {
    let pods = kubectl_json(&["get", "pods", "-n", NAMESPACE]).unwrap_or_default();
    let pods = pods["items"].as_array().cloned().unwrap_or_default();
    let mut count = BTreeMap::new();
    for pod in pods.iter().filter(|pod| pod["spec"]["nodeName"].is_string()) {
        let container = pod["spec"]["containers"][0]["name"].as_str().unwrap().to_owned();
        *count.entry(container).or_default() += 1;
    }
    count
}

/// Its pods are admitted and find nodes and a volume; whether they start is up to their images.
#[test]
fn the_page_about_logs_brings_a_strict_namespace_all_its_pods_and_takes_them_away() {
    let all = commands(include_str!("../../../docs/logging.md"));
    let [install, label, _wait, _forward, remove @ ..] = &all[..] else { panic!("{all:?}") };
    assert_eq!(remove.len(), 3, "{remove:?}");
    let _guard = Namespace::new(NAMESPACE);
    done(install);
    done(label);
    let nodes = kubectl(&["get", "nodes", "-o", "name"]).lines().count();
    let wanted = [("fluentd", nodes), ("elasticsearch", 1), ("kibana", 1), ("setup", 1)];
    let wanted = wanted.map(|(name, count)| (name.to_owned(), count)).into();
    eventually("each node has its agent, and the others are there", NAMESPACE, || {
        (placed() == wanted).then_some(())
    });
    eventually("the volume is there", NAMESPACE, || {
        let claim = kubectl_json(&["get", "pvc", "data-logging-elasticsearch-0", "-n", NAMESPACE])?;
        (claim["status"]["phase"] == "Bound").then_some(())
    });
    for line in remove {
        done(line);
    }
    let left = kubectl_json(&["get", "namespace", NAMESPACE]);
    assert!(left.as_ref().is_none_or(Value::is_null), "{left:?}");
}
