//! Semantic comparison of objects (no client required), so that a converged blog causes no write.

use kube::{ResourceExt, api::DynamicObject};
use serde_json::{Map, Value};

/// Whether `live` holds all of `wanted`.
///
/// Fields of other managers don't count. Fields that the operator no longer wants change the hash annotation, which is part of
/// `wanted`.
#[must_use]
pub fn matches_desired(wanted: &DynamicObject, live: &DynamicObject) -> bool {
    let metadata = |object: &DynamicObject| {
        serde_json::json!({
            "labels": object.labels(),
            "annotations": object.annotations(),
            "ownerReferences": object.owner_references(),
        })
    };
    is_subset(&metadata(live), &metadata(wanted)) && is_subset(&live.data, &wanted.data)
}

/// Whether `live` holds all of `wanted`.
#[must_use]
pub fn is_subset(live: &Value, wanted: &Value) -> bool {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => covers_object(live, wanted),
        (Value::Array(live), Value::Array(wanted)) => covers_list(live, wanted),
        (Value::String(live), Value::String(wanted)) => live == wanted || same_quantity(live, wanted),
        // The API server omits empty lists.
        (Value::Null, Value::Array(wanted)) => wanted.is_empty(),
        (Value::Null, Value::Object(wanted)) => wanted.is_empty(),
        (Value::Null, Value::String(wanted)) => wanted.is_empty(),
        (Value::Null, Value::Bool(wanted)) => !wanted,
        _ => live == wanted,
    }
}

fn covers_object(live: &Map<String, Value>, wanted: &Map<String, Value>) -> bool {
    wanted.iter().all(|(key, value)| is_subset(live.get(key).unwrap_or(&Value::Null), value))
}

/// Compares lists.
///
/// Lists of named entries may have additional entries. Other lists must match exactly.
fn covers_list(live: &[Value], wanted: &[Value]) -> bool {
    let named = |item: &Value| item.get("name").and_then(Value::as_str).map(str::to_owned);
    if !wanted.is_empty() && wanted.iter().all(|item| named(item).is_some()) {
        return wanted
            .iter()
            .all(|item| live.iter().any(|other| named(other) == named(item) && is_subset(other, item)));
    }
    live.len() == wanted.len() && live.iter().zip(wanted).all(|(live, wanted)| is_subset(live, wanted))
}

/// Whether two quantities are equal.
///
/// The API server returns a canonical form: `1` for `1000m`, `1Gi` for `1024Mi`.
#[must_use]
pub fn same_quantity(left: &str, right: &str) -> bool {
    matches!((milli(left), milli(right)), (Some(left), Some(right)) if (left - right).abs() < 0.5)
}

/// Whether another container of the pod template mounts MySQL's data.
///
/// Two servers on one volume corrupt it.
#[must_use]
pub fn shares_data(wanted: &DynamicObject, live: &DynamicObject) -> bool {
    let entries = |object: &DynamicObject, list: &str| -> Vec<Value> {
        let path = format!("/spec/template/spec/{list}");
        object.data.pointer(&path).and_then(Value::as_array).cloned().unwrap_or_default()
    };
    // A volume of any other name may refer to the same PVC.
    let claim = format!("data-{}-0", live.name_any());
    let of_claim = |volume: &&Value| volume["persistentVolumeClaim"]["claimName"] == *claim;
    let volumes = entries(live, "volumes");
    let others: Vec<&Value> = volumes.iter().filter(of_claim).map(|volume| &volume["name"]).collect();
    let is_data = |volume: &Value| volume == "data" || others.contains(&volume);
    let mounts_data = |container: &Value| {
        let used = ["volumeMounts", "volumeDevices"].map(|list| container[list].as_array());
        used.into_iter().flatten().flatten().any(|mount| is_data(&mount["name"]))
    };
    ["containers", "initContainers"].iter().any(|list| {
        let ours = entries(wanted, list);
        let is_ours = |container: &Value| ours.iter().any(|own| own["name"] == container["name"]);
        entries(live, list).iter().any(|container| mounts_data(container) && !is_ours(container))
    })
}

/// Whether an autoscaled Deployment has zero replicas, which disables the autoscaler.
#[must_use]
pub fn is_stopped_for_autoscaler(wanted: &DynamicObject, live: &DynamicObject) -> bool {
    let replicas = |object: &DynamicObject| object.data.pointer("/spec/replicas").and_then(Value::as_i64);
    replicas(wanted).is_none() && replicas(live) == Some(0)
}

/// Whether the Deployment's rollout is complete for the newest generation.
///
/// Every replica has the newest template and is available, and no old replica is left.
#[must_use]
pub fn is_rolled_out(deployment: &DynamicObject) -> bool {
    let status = &deployment.data["status"];
    let count = |field: &str| status[field].as_i64().unwrap_or(0);
    let wanted = deployment.data["spec"]["replicas"].as_i64().unwrap_or(1);
    let all = ["replicas", "updatedReplicas", "availableReplicas"].iter().all(|field| count(field) == wanted);
    all && status["observedGeneration"].as_i64() == deployment.metadata.generation
}

/// Whether MySQL's only pod is ready and has the newest template.
///
/// The StatefulSet's controller must have observed the newest generation.
#[must_use]
pub fn runs_the_newest_template(statefulset: &DynamicObject) -> bool {
    let status = &statefulset.data["status"];
    let current = status["observedGeneration"].as_i64() == statefulset.metadata.generation;
    // A pod of an older template counts as ready until it is replaced. updatedReplicas leaves it out, and currentRevision
    // becomes updateRevision when the replacement is done.
    let updated = status["updatedReplicas"] == 1 && status["currentRevision"] == status["updateRevision"];
    current && updated && status["readyReplicas"] == 1
}

/// Whether one amount is at least another. A malformed quantity never is.
#[must_use]
pub fn at_least(amount: &str, wanted: &str) -> bool {
    matches!((milli(amount), milli(wanted)), (Some(amount), Some(wanted)) if amount > wanted - 0.5)
}

/// A quantity in whole units, bytes for memory.
#[must_use]
pub fn units(text: &str) -> Option<f64> {
    milli(text).map(|milli| milli / 1e3)
}

/// A quantity in thousandths, or `None` if the text isn't a quantity
/// (<https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>).
fn milli(text: &str) -> Option<f64> {
    let split =
        text.find(|character: char| !(character.is_ascii_digit() || character == '.')).unwrap_or(text.len());
    let (number, suffix) = text.split_at(split);
    let factor = match suffix {
        "m" => 1.0,
        "" => 1e3,
        "k" => 1e6,
        "M" => 1e9,
        "G" => 1e12,
        "T" => 1e15,
        "P" => 1e18,
        "Ki" => 1e3 * 1024.0,
        "Mi" => 1e3 * 1024f64.powi(2),
        "Gi" => 1e3 * 1024f64.powi(3),
        "Ti" => 1e3 * 1024f64.powi(4),
        "Pi" => 1e3 * 1024f64.powi(5),
        _ => return None,
    };
    number.parse::<f64>().ok().map(|number| number * factor)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_others_added_is_no_difference() {
        let live = json!({"a": 1, "theirs": 2, "env": [{"name": "ADDED"}, {"name": "OURS", "value": "x"}]});
        assert!(is_subset(&live, &json!({"a": 1, "env": [{"name": "OURS", "value": "x"}]})));
    }

    #[test]
    fn a_changed_or_missing_field_of_ours_is_a_difference() {
        assert!(!is_subset(&json!({"a": 2}), &json!({"a": 1})));
        assert!(!is_subset(&json!({}), &json!({"a": 1})));
        assert!(!is_subset(
            &json!({"env": [{"name": "OURS", "value": "y"}]}),
            &json!({"env": [{"name": "OURS", "value": "x"}]})
        ));
        assert!(!is_subset(&json!({"args": ["a", "b"]}), &json!({"args": ["a"]})));
    }

    #[test]
    fn quantities_are_compared_by_value() {
        for (left, right) in [("1000m", "1"), ("1024Mi", "1Gi"), ("0.5", "500m"), ("1k", "1000")] {
            assert!(is_subset(&json!(left), &json!(right)), "{left} and {right}");
        }
        assert!(!is_subset(&json!("1Gi"), &json!("1G")));
        assert!(!is_subset(&json!("blog"), &json!("blog2")));
    }

    fn statefulset(containers: Value) -> DynamicObject {
        let object =
            json!({"metadata": {"name": "x"}, "spec": {"template": {"spec": {"containers": containers}}}});
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn foreign_container_on_the_data_volume_is_found() {
        let mysql = |name: &str, volume: &str| json!({"name": name, "volumeMounts": [{"name": volume}]});
        let wanted = statefulset(json!([mysql("mysql", "data")]));
        assert!(!shares_data(
            &wanted,
            &statefulset(json!([mysql("mysql", "data"), mysql("sidecar", "tmp")]))
        ));
        assert!(shares_data(&wanted, &statefulset(json!([mysql("mysql", "data"), mysql("mysqlx", "data")]))));
        let mut other_name = statefulset(json!([mysql("mysql", "data"), mysql("mysqlx", "again")]));
        assert!(!shares_data(&wanted, &other_name));
        other_name.data["spec"]["template"]["spec"]["volumes"] =
            json!([{"name": "again", "persistentVolumeClaim": {"claimName": "data-x-0"}}]);
        assert!(shares_data(&wanted, &other_name));
    }

    #[test]
    fn empty_and_absent_are_the_same() {
        assert!(is_subset(&json!({}), &json!({"labels": {}, "list": [], "text": "", "paused": false})));
        assert!(!is_subset(&json!({"paused": true}), &json!({"paused": false})));
        assert!(!is_subset(&json!({}), &json!({"readOnly": true})));
    }
}
