//! Objects deserialized without their managed fields, which are half of an object.
//!
//! serde's `flatten` buffers the remaining fields in a second tree, so both types implement `Deserialize` by hand.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta, OwnerReference, Time};
use kube::{
    Resource,
    api::{ApiResource, DynamicObject, TypeMeta},
    core::DynamicResourceScope,
};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::{Map, Value, value::RawValue};

use crate::model::managed_fields::parse_own_updates;

/// Metadata with only the operator's own updates of `managedFields`
/// (<https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/object-meta/>).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Metadata {
    annotations: Option<BTreeMap<String, String>>,
    creation_timestamp: Option<Time>,
    deletion_grace_period_seconds: Option<i64>,
    deletion_timestamp: Option<Time>,
    finalizers: Option<Vec<String>>,
    generate_name: Option<String>,
    generation: Option<i64>,
    labels: Option<BTreeMap<String, String>>,
    #[serde(default, deserialize_with = "parse_own_updates")]
    managed_fields: Option<Vec<ManagedFieldsEntry>>,
    name: Option<String>,
    namespace: Option<String>,
    owner_references: Option<Vec<OwnerReference>>,
    resource_version: Option<String>,
    uid: Option<String>,
}

impl From<Metadata> for ObjectMeta {
    fn from(read: Metadata) -> Self {
        Self {
            annotations: read.annotations,
            creation_timestamp: read.creation_timestamp,
            deletion_grace_period_seconds: read.deletion_grace_period_seconds,
            deletion_timestamp: read.deletion_timestamp,
            finalizers: read.finalizers,
            generate_name: read.generate_name,
            generation: read.generation,
            labels: read.labels,
            name: read.name,
            namespace: read.namespace,
            owner_references: read.owner_references,
            resource_version: read.resource_version,
            uid: read.uid,
            managed_fields: read.managed_fields,
            self_link: None,
        }
    }
}

/// An object without its managed fields.
#[derive(Clone, Debug)]
pub struct ObjectWithoutManagedFields(pub DynamicObject);

impl<'de> Deserialize<'de> for ObjectWithoutManagedFields {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Fields)
    }
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = ObjectWithoutManagedFields;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object of Kubernetes")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ObjectWithoutManagedFields, A::Error> {
        let (mut version, mut kind) = (None, None);
        let mut metadata = ObjectMeta::default();
        let mut data = Map::new();
        while let Some(field) = map.next_key::<String>()? {
            match field.as_str() {
                "apiVersion" => version = map.next_value()?,
                "kind" => kind = map.next_value()?,
                "metadata" => metadata = map.next_value::<Metadata>()?.into(),
                _ => drop(data.insert(field, map.next_value()?)),
            }
        }
        let types = version.zip(kind).map(|(api_version, kind)| TypeMeta { api_version, kind });
        Ok(ObjectWithoutManagedFields(DynamicObject { types, metadata, data: Value::Object(data) }))
    }
}

/// An object of a watch event, parsed on demand beyond its metadata.
///
/// Most watch events report what this process has just written.
#[derive(Clone)]
pub struct LazyObject {
    metadata: ObjectMeta,
    /// `None` if the watch delivers only metadata.
    text: Option<Box<RawValue>>,
}

impl LazyObject {
    /// An object of a watch that delivers only metadata.
    #[must_use]
    pub fn of_metadata(metadata: ObjectMeta) -> Self {
        Self { metadata, text: None }
    }

    /// Parses the whole object.
    ///
    /// # Errors
    /// If it isn't a valid object.
    pub fn whole(&self) -> Result<DynamicObject, serde_json::Error> {
        match &self.text {
            Some(text) => {
                serde_json::from_str::<ObjectWithoutManagedFields>(text.get()).map(|object| object.0)
            }
            None => Ok(DynamicObject {
                types: None,
                metadata: self.metadata.clone(),
                data: Value::Object(Map::new()),
            }),
        }
    }
}

impl fmt::Debug for LazyObject {
    /// Omits the text, which may be long.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("LazyObject").field("metadata", &self.metadata).finish_non_exhaustive()
    }
}

impl<'de> Deserialize<'de> for LazyObject {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Head {
            metadata: Metadata,
        }
        let text = Box::<RawValue>::deserialize(from)?;
        let head: Head = serde_json::from_str(text.get()).map_err(serde::de::Error::custom)?;
        Ok(Self { metadata: head.metadata.into(), text: Some(text) })
    }
}

/// Implements `Resource` for a type with a dynamic kind.
macro_rules! resource {
    ($type:ty, $($metadata:tt).+) => {
        impl Resource for $type {
            type DynamicType = ApiResource;
            type Scope = DynamicResourceScope;

            fn kind(of: &ApiResource) -> Cow<'_, str> {
                of.kind.as_str().into()
            }

            fn group(of: &ApiResource) -> Cow<'_, str> {
                of.group.as_str().into()
            }

            fn version(of: &ApiResource) -> Cow<'_, str> {
                of.version.as_str().into()
            }

            fn api_version(of: &ApiResource) -> Cow<'_, str> {
                of.api_version.as_str().into()
            }

            fn plural(of: &ApiResource) -> Cow<'_, str> {
                of.plural.as_str().into()
            }

            fn meta(&self) -> &ObjectMeta {
                &self.$($metadata).+
            }

            fn meta_mut(&mut self) -> &mut ObjectMeta {
                &mut self.$($metadata).+
            }
        }
    };
}

resource!(ObjectWithoutManagedFields, 0.metadata);
resource!(LazyObject, metadata);

#[cfg(test)]
mod tests {
    use kube::api::WatchEvent;
    use serde_json::json;

    use super::*;

    fn object() -> Value {
        json!({"apiVersion": "v1", "kind": "Service", "spec": {"ports": [{"port": 1, "name": "é\n"}]}, "status": {},
            "metadata": {"name": "x", "namespace": "n", "uid": "u", "resourceVersion": "7", "generation": 2,
                "creationTimestamp": "2026-01-01T00:00:00Z", "deletionTimestamp": "2026-01-01T00:00:00Z",
                "deletionGracePeriodSeconds": 1, "finalizers": ["f"], "generateName": "g", "labels": {"a": "b"},
                "annotations": {"c": "d"}, "ownerReferences": [{"apiVersion": "v1", "kind": "K", "name": "o", "uid": "p"}],
                "managedFields": [{"manager": "kubectl", "operation": "Apply", "fieldsV1": {"f:spec": {}}}]}})
    }

    #[test]
    fn an_object_is_read_whole_but_for_the_owners_of_its_fields() {
        let mut wanted: DynamicObject = serde_json::from_value(object()).unwrap();
        wanted.metadata.managed_fields = None;
        let lean: ObjectWithoutManagedFields = serde_json::from_str(&object().to_string()).unwrap();
        assert_eq!(json!(lean.0), json!(wanted));
        let told: LazyObject = serde_json::from_str(&object().to_string()).unwrap();
        assert_eq!(json!(told.meta()), json!(wanted.metadata));
        assert_eq!(json!(told.whole().unwrap()), json!(wanted));
    }

    #[test]
    fn the_events_of_a_watch_can_be_read_in_the_order_in_which_kubernetes_writes_them() {
        let line = format!(r#"{{"type":"MODIFIED","object":{}}}"#, object());
        let event: WatchEvent<LazyObject> = serde_json::from_str(&line).unwrap();
        assert!(matches!(event, WatchEvent::Modified(told) if told.meta().name.as_deref() == Some("x")));
    }

    #[test]
    fn of_an_object_of_which_only_metadata_is_told_that_is_the_whole() {
        let lean: ObjectWithoutManagedFields = serde_json::from_str(&object().to_string()).unwrap();
        let told = LazyObject::of_metadata(lean.0.metadata.clone());
        assert_eq!(json!(told.whole().unwrap()), json!({"metadata": lean.0.metadata}));
    }

    #[test]
    fn what_is_no_object_is_an_error() {
        for text in ["[]", "7", r#"{"metadata": 7}"#] {
            assert!(
                serde_json::from_str::<ObjectWithoutManagedFields>(text).is_err()
                    && serde_json::from_str::<LazyObject>(text).is_err()
            );
        }
    }
}
