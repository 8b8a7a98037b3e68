//! The fields of an object that the operator owns by server-side apply.

use flaskblog_api::children::MANAGER;
use serde_json::Value;

/// A field, or an atomic list or map, with its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// The way to it by names and keys, which stays the same when a list gets another item.
    pub path: Vec<String>,
    /// The JSON pointer to it in this version of the object.
    pub pointer: String,
    pub value: Value,
}

/// All of them, except owner references.
pub fn owned_fields(object: &Value) -> Vec<Field> {
    let entries = object["metadata"]["managedFields"].as_array().into_iter().flatten();
    // A restored Secret belongs to the client that restored it.
    let is_own = |entry: &&Value| entry["manager"] == MANAGER || object["kind"] == "Secret";
    let own = entries.filter(|entry| entry["subresource"].is_null()).filter(is_own);
    let mut found = Vec::new();
    for entry in own {
        collect(&entry["fieldsV1"], object, &[], "", &mut found);
    }
    found.retain(|field| field.path.get(1).is_none_or(|second| second != "f:ownerReferences"));
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found.dedup_by(|one, other| one.path == other.path);
    found
}

/// The value at a field's path in another version of the object.
pub fn value_at<'a>(object: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(object, |value, key| Some(step(key, value)?.1))
}

fn collect(fields: &Value, value: &Value, path: &[String], pointer: &str, found: &mut Vec<Field>) {
    for (key, below) in fields.as_object().into_iter().flatten() {
        let Some((step, value)) = step(key, value) else { continue };
        let (path, pointer) = ([path, std::slice::from_ref(key)].concat(), format!("{pointer}/{step}"));
        if below.as_object().is_some_and(|below| below.keys().any(|key| key != ".")) {
            collect(below, value, &path, &pointer, found);
        } else if !key.starts_with("k:") {
            found.push(Field { path, pointer, value: value.clone() });
        }
    }
}

/// The pointer's next step for a key of `fieldsV1`, and the value there.
fn step<'a>(key: &str, value: &'a Value) -> Option<(String, &'a Value)> {
    if let Some(name) = key.strip_prefix("f:") {
        return Some((name.replace('~', "~0").replace('/', "~1"), value.get(name)?));
    }
    let keys: Value = serde_json::from_str(key.strip_prefix("k:")?).ok()?;
    let is_it = |item: &&Value| {
        keys.as_object().is_some_and(|keys| keys.iter().all(|(name, key)| &item[name] == key))
    };
    let items = value.as_array()?;
    let index = items.iter().position(|item| is_it(&item))?;
    Some((index.to_string(), &items[index]))
}

#[test]
fn fields_of_other_managers_are_not_owned() {
    let object = serde_json::json!({
        "metadata": {"managedFields": [
            {"manager": MANAGER, "fieldsV1": {"f:spec": {"f:ports": {"k:{\"port\":80}": {".": {}, "f:name": {}}}, "f:selector": {}}}},
            {"manager": MANAGER, "subresource": "status", "fieldsV1": {"f:status": {"f:replicas": {}}}},
            {"manager": "kubectl-edit", "fieldsV1": {"f:spec": {"f:type": {}}}},
        ]},
        "spec": {"type": "NodePort", "selector": {"a": "b"}, "ports": [{"port": 81}, {"port": 80, "name": "http"}]},
        "status": {"replicas": 1},
    });
    let fields = owned_fields(&object);
    let pointers: Vec<_> = fields.iter().map(|field| field.pointer.as_str()).collect();
    assert_eq!(pointers, ["/spec/ports/1/name", "/spec/selector"]);
    assert_eq!(value_at(&object, &fields[0].path), Some(&"http".into()));
}
