//! Kubernetes' own types within a CRD: without their long descriptions, and with bounds that they lack.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value};

/// Longest text, as Kubernetes bounds label values and names (DNS subdomain, and a prefix for keys).
const TEXT: u64 = 316;
/// Most entries of a list or map.
const ENTRIES: u64 = 32;

/// The schema of a Kubernetes type as part of ours.
pub(crate) fn bounded<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = generator.subschema_for::<T>();
    if let Some(object) = schema.as_object_mut() {
        bound(object);
    }
    schema
}

fn bound(schema: &mut Map<String, Value>) {
    schema.remove("description");
    // A list of one type is how schemars spells an optional field; the API server takes a single type only.
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
