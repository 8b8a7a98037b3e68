//! The page about logs, as far as it goes where the images of Elasticsearch, Kibana and fluentd can't be pulled.

use std::collections::BTreeMap;

use e2e::{commands, done, eventually, kubectl, kubectl_json, shell};

use crate::{quickstart::Namespace, schedule::Slot};

/// Not the page's: a deployment by the page on this cluster stays.
const NAMESPACE: &str = "e2e-logging";

/// The release goes whatever happens, and with it what belongs to no namespace.
struct Installed;

impl Drop for Installed {
    fn drop(&mut self) {
        let _ =
            shell(&format!("helm --kube-context kind-flaskblog uninstall logging --namespace {NAMESPACE}"));
    }
}

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

fn until_placed(what: &str, wanted: &[(&str, usize)]) {
    let wanted = wanted.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
    eventually(what, NAMESPACE, || (placed() == wanted).then_some(()));
}

/// What there is of it outside of namespaces.
fn cluster_wide() -> Vec<String> {
    let all = kubectl(&["get", "namespace,clusterrole,clusterrolebinding", "-o", "name"]);
    all.lines().filter(|line| line.contains(NAMESPACE)).map(str::to_owned).collect()
}

/// Its pods are admitted and find nodes and a volume; whether they start is up to their images.
#[test]
fn logging_page_places_all_pods_and_removes_them() {
    // Alone, as each node has its agent, and its requests leave little for others.
    let _slot = Slot::acquire_alone();
    let page = include_str!("../../../docs/logging.md");
    let all = commands(&page.replace("namespace logging", &format!("namespace {NAMESPACE}")));
    let [install, label, _wait, _forward, remove @ ..] = &all[..] else { panic!("{all:?}") };
    assert_eq!(remove.len(), 3, "{remove:?}");
    let _namespace = Namespace::new(NAMESPACE);
    let _installed = Installed;
    done(install);
    let others = [("elasticsearch", 1), ("kibana", 1), ("setup", 1)];
    until_placed("all but the nodes' agents are admitted", &others);
    done(label);
    let nodes = kubectl(&["get", "nodes", "-o", "name"]).lines().count();
    until_placed("each node has its agent", &[&others[..], &[("fluentd", nodes)]].concat());
    eventually("the volume is there", NAMESPACE, || {
        let claim = kubectl_json(&["get", "pvc", "data-logging-elasticsearch-0", "-n", NAMESPACE])?;
        (claim["status"]["phase"] == "Bound").then_some(())
    });
    assert!(cluster_wide().len() >= 3, "{:?}", cluster_wide());
    for line in remove {
        done(line);
    }
    assert_eq!(cluster_wide(), [""; 0]);
}
