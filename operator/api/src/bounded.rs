//! Kubernetes' own types within a CRD: without their long descriptions, and with additional bounds and rules.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

/// Longest text, the Kubernetes limit of label keys and names.
///
/// That is a DNS subdomain, with a prefix for keys.
const TEXT: u64 = 316;
/// Largest number of entries of a list or map.
const ENTRIES: u64 = 32;

/// The bounded schema of a Kubernetes type.
pub(crate) fn bounded<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = generator.subschema_for::<T>();
    if let Some(object) = schema.as_object_mut() {
        bound(object);
    }
    schema
}

/// Rejects affinities that the API server would refuse in the pods.
pub(crate) fn constrain_affinity(schema: &mut Schema) {
    let Some(parts) = schema.as_object_mut().and_then(|schema| schema.get_mut("properties")) else { return };
    for (name, part) in parts.as_object_mut().into_iter().flatten() {
        let of_nodes = name == "nodeAffinity";
        constrain(part, if of_nodes { NODE_OPERATORS } else { LABEL_OPERATORS });
    }
}

const LABEL_OPERATORS: &[&str] = &["In", "NotIn", "Exists", "DoesNotExist"];
const NODE_OPERATORS: &[&str] = &["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"];
const REQUIREMENT_RULE: &str = "self.operator in ['Exists', 'DoesNotExist'] ? !has(self.values) || size(self.values) == 0 : \
    has(self.values) && size(self.values) > 0 && (self.operator in ['In', 'NotIn'] || size(self.values) == 1)";
const REQUIREMENT_MESSAGE: &str =
    "operators In and NotIn need values, Gt and Lt need one value, Exists and DoesNotExist need none";
const KEY: &str = r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$";

fn constrain(schema: &mut Value, operators: &[&str]) {
    let Value::Object(schema) = schema else { return };
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        for (name, property) in properties.iter_mut() {
            match (name.as_str(), property.as_object_mut()) {
                ("operator", Some(property)) => drop(property.insert("enum".into(), json!(operators))),
                ("key" | "topologyKey", Some(property)) => {
                    drop(property.insert("pattern".into(), json!(KEY)));
                }
                ("weight", Some(property)) => {
                    property.insert("minimum".into(), json!(1));
                    property.insert("maximum".into(), json!(100));
                }
                _ => constrain(property, operators),
            }
        }
        if properties.contains_key("operator") {
            let rule = json!([{"rule": REQUIREMENT_RULE, "message": REQUIREMENT_MESSAGE}]);
            schema.insert("x-kubernetes-validations".into(), rule);
        }
    }
    if let Some(items) = schema.get_mut("items") {
        constrain(items, operators);
    }
}

fn bound(schema: &mut Map<String, Value>) {
    schema.remove("description");
    // schemars writes an optional field as a list of one type, while the API server accepts only a single type.
    let is = |schema: &Map<String, Value>, wanted: &str| match schema.get("type") {
        Some(Value::String(type_)) => type_ == wanted,
        Some(Value::Array(types)) => types.iter().any(|type_| type_ == wanted),
        _ => false,
    };
    if is(schema, "string") {
        schema.entry("maxLength").or_insert(TEXT.into());
    }
    if is(schema, "array") {
        schema.entry("maxItems").or_insert(ENTRIES.into());
    }
    if schema.contains_key("additionalProperties") {
        schema.entry("maxProperties").or_insert(ENTRIES.into());
    }
    for key in ["items", "additionalProperties"] {
        if let Some(Value::Object(inner)) = schema.get_mut(key) {
            bound(inner);
        }
    }
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        for property in properties.values_mut() {
            if let Value::Object(property) = property {
                bound(property);
            }
        }
    }
}
