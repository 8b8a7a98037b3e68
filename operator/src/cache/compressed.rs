//! Compressed objects. Objects of one role are alike, so the first of a role is the LZ4 dictionary of the others.

use std::{collections::HashMap, sync::Arc};

use flaskblog_api::{OwnedKind, children::Component};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{ResourceExt, api::DynamicObject};
use lz4_flex::block::{compress_prepend_size_with_dict, decompress_size_prepended_with_dict};

use crate::model::managed_fields::own_updates;

/// One compressed object.
///
/// Managed fields are half of an object, so only the operator's own updates are kept of them.
#[derive(Debug)]
pub struct CompressedObject {
    model: Arc<[u8]>,
    difference: Box<[u8]>,
}

/// The first object of each role as JSON.
///
/// A blog has at most two objects of a kind: one of the app and one of MySQL.
#[derive(Debug, Default)]
pub struct Dictionaries(HashMap<(OwnedKind, bool), Arc<[u8]>>);

/// Largest distance of an LZ4 back-reference (<https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md>).
const REACH: usize = 60 * 1024;

impl Dictionaries {
    /// Compresses an object, or returns `None` if it can't be serialized.
    pub fn pack(&mut self, kind: OwnedKind, object: &DynamicObject) -> Option<CompressedObject> {
        let managed_fields = own_updates(object.managed_fields());
        let metadata = ObjectMeta { managed_fields, ..object.metadata.clone() };
        // Metadata and data are separate values: flattened fields take half as long again to deserialize.
        let json = serde_json::to_vec(&(metadata, &object.data)).ok()?;
        let of_app = object
            .labels()
            .get("app.kubernetes.io/component")
            .is_some_and(|name| name == Component::App.as_str());
        let model = self.0.entry((kind, of_app)).or_insert_with(|| json.get(..REACH).unwrap_or(&json).into());
        let difference = compress_prepend_size_with_dict(&json, model).into_boxed_slice();
        Some(CompressedObject { model: Arc::clone(model), difference })
    }
}

impl CompressedObject {
    /// Decompresses the object.
    #[must_use]
    pub fn unpacked(&self) -> Option<DynamicObject> {
        let json = decompress_size_prepended_with_dict(&self.difference, &self.model).ok()?;
        let (metadata, data) = serde_json::from_slice(&json).ok()?;
        Some(DynamicObject { types: None, metadata, data })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn object(name: &str, spec: &Value) -> DynamicObject {
        let object = json!({"metadata": {"name": name, "namespace": "press", "resourceVersion": "7",
            "managedFields": [{"manager": "kubectl"}]}, "spec": spec, "status": {"replicas": 1}});
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn an_object_comes_back_as_it_was_but_for_who_owns_its_fields() {
        let mut models = Dictionaries::default();
        for (name, spec) in
            [("a", json!({"text": "x".repeat(2 * REACH)})), ("b", json!({})), ("c", json!([1, "é"]))]
        {
            let mut original = object(name, &spec);
            let unpacked = models.pack(OwnedKind::Deployment, &original).unwrap().unpacked();
            original.metadata.managed_fields = None;
            assert_eq!(json!(unpacked), json!(original), "{name}");
        }
    }

    #[test]
    fn what_is_like_the_first_of_its_role_is_small() {
        let words: Vec<String> = (0..400).map(|number| format!("word {number}")).collect();
        let mut models = Dictionaries::default();
        let sizes = ["daily", "weekly"].map(|name| {
            models.pack(OwnedKind::Deployment, &object(name, &json!(words))).unwrap().difference.len()
        });
        assert!(
            sizes.iter().all(|size| *size < 200),
            "{sizes:?} of {} bytes",
            json!(words).to_string().len()
        );
    }
}
