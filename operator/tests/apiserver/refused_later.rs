//! Values that the schema rejects early, since the API server would refuse them in an object of the blog.

use serde_json::{Value, json};

/// Values that the API server would refuse in a child.
pub fn refused_later() -> Vec<(Value, &'static str)> {
    let pods = |field: &str, value: Value| json!({"podTemplate": {field: value}});
    let ingress = |field: &str, value: Value| {
        let mut ingress = json!({"host": "a.example"});
        ingress[field] = value;
        json!({"ingress": ingress})
    };
    let required = "requiredDuringSchedulingIgnoredDuringExecution";
    let on_nodes = |requirement: Value| {
        let terms = json!([{"matchExpressions": [requirement]}]);
        pods("affinity", json!({"nodeAffinity": {required: {"nodeSelectorTerms": terms}}}))
    };
    let by_pods = |term: Value| pods("affinity", json!({"podAntiAffinity": {required: [term]}}));
    let keys = "keys have at most 63 letters";
    vec![
        (pods("labels", json!({"a b": "c"})), keys),
        (pods("labels", json!({"Example.org/a": "c"})), keys),
        (pods("labels", json!({"x".repeat(64): "c"})), keys),
        (pods("annotations", json!({"no way": "x"})), keys),
        (pods("annotations", json!({"a/b/c": "x"})), keys),
        (ingress("annotations", json!({"no way": "x"})), keys),
        (json!({"monitoring": {"labels": {"-a": "b"}}}), keys),
        (pods("nodeSelector", json!({"disk kind": "ssd"})), keys),
        (pods("nodeSelector", json!({"disk": "not valid!"})), "should match"),
        (pods("tolerations", json!([{"key": "a b", "operator": "Exists"}])), "should match"),
        (pods("tolerations", json!([{"key": "a", "value": "b c"}])), "should match"),
        (
            pods("tolerations", json!([{"key": "a", "operator": "Exists", "tolerationSeconds": 5}])),
            "tolerationSeconds needs effect: NoExecute",
        ),
        (on_nodes(json!({"key": "disk", "operator": "Equals", "values": ["a"]})), "supported values"),
        (on_nodes(json!({"key": "a b", "operator": "Exists"})), "should match"),
        (on_nodes(json!({"key": "disk", "operator": "In"})), "operators In and NotIn need values"),
        (
            on_nodes(json!({"key": "disk", "operator": "Gt", "values": ["1", "2"]})),
            "Gt and Lt need one value",
        ),
        (on_nodes(json!({"key": "disk", "operator": "Exists", "values": ["a"]})), "DoesNotExist need none"),
        (by_pods(json!({"topologyKey": ""})), "should match"),
        (
            by_pods(json!({"topologyKey": "zone", "labelSelector":
                {"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["1"]}]}})),
            "supported values",
        ),
        (
            pods(
                "affinity",
                json!({"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution":
                [{"weight": 101, "podAffinityTerm": {"topologyKey": "zone"}}]}}),
            ),
            "less than or equal to 100",
        ),
    ]
}

/// Host names, classes and amounts that are refused in a child.
pub fn refused_amounts_and_names() -> Vec<(Value, &'static str)> {
    let ingress = |field: &str, value: Value| {
        let mut ingress = json!({"host": "a.example"});
        ingress[field] = value;
        json!({"ingress": ingress})
    };
    let resources = |name: &str, request: Value, limit: Value| json!({"resources": {"requests": {name: request}, "limits": {name: limit}}});
    let limits = json!({"limits": {"memory": "512Mi"}, "requests": {"memory": "1Gi"}});
    vec![
        (ingress("host", json!("10.0.0.1")), "must be a name, not an address"),
        (ingress("className", json!("Not a class")), "should match"),
        (ingress("tlsSecretName", json!("Not_a_name")), "should match"),
        (json!({"database": {"managed": {"storage": {"storageClassName": "Not a class"}}}}), "should match"),
        (resources("cpu", json!(2), json!("1500m")), "requests.cpu must be at most resources.limits.cpu"),
        (resources("memory", json!("1G"), json!("900Mi")), "requests.memory must be at most"),
        (
            resources("ephemeral-storage", json!("2Gi"), json!("1Gi")),
            "requests.ephemeral-storage must be at most",
        ),
        (json!({"database": {"managed": {"resources": limits}}}), "requests.memory must be at most"),
    ]
}
