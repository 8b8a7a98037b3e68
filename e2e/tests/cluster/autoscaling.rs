//! As many replicas as the load asks for, by the cluster's own autoscaler and a real metrics server.

use e2e::{eventually, kubectl, wait_ready};
use serde_json::json;

use crate::{
    person::Visitors,
    sample::{Sample, blog, object, patch_spec, pods},
};

fn wanted_replicas() -> u64 {
    object("deployment", "blog").unwrap()["spec"]["replicas"].as_u64().unwrap()
}

#[test]
fn load_brings_more_replicas_and_without_the_field_the_number_in_the_spec_counts_again() {
    let sample = Sample::ready();
    let figures = kubectl(&["top", "pods", "-n", "default", "--no-headers"]);
    assert!(figures.contains("blog-mysql-0"), "no metrics server: run dev/metrics-server.sh: {figures}");
    patch_spec(&json!({"replicas": 1}));
    eventually("one replica is left", "default", || (pods("app").len() == 1).then_some(()));
    let readers = Visitors::readers(4);
    let target = json!({"minReplicas": 1, "maxReplicas": 3, "targetCPUUtilizationPercentage": 20});
    patch_spec(&json!({"autoscaling": target}));
    eventually("more replicas serve", "default", || {
        (blog()["status"]["readyReplicas"].as_u64() > Some(1)).then_some(())
    });
    assert!(readers.noticed_nothing() > 100);
    assert!(wanted_replicas() > 1);
    assert_eq!(blog()["spec"]["replicas"], 1, "the autoscaler doesn't write to the spec");
    patch_spec(&json!({"autoscaling": null}));
    eventually("the spec's number counts again", "default", || (wanted_replicas() == 1).then_some(()));
    assert!(object("horizontalpodautoscaler", "blog").is_none());
    wait_ready("default", "blog");
    sample.restored();
}
