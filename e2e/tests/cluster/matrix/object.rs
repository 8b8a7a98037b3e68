//! One object of a blog, as the API server has it.

use flaskblog_api::{Child, OwnedKind, children::data_claim};
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    api,
    fault::Fault,
    fields::{Field, owned_fields, value_at},
};

/// So often an object is restored that another client writes at the same time.
const RESTORES: usize = 5;

/// What a fault can hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Child(Child),
    Claim,
}

impl Role {
    /// All objects of a blog, so that a new kind is hit by itself.
    pub fn all() -> Vec<Self> {
        Child::ALL.into_iter().map(Self::Child).chain([Self::Claim]).collect()
    }
}

#[derive(Clone)]
pub struct Object {
    pub role: Role,
    pub namespace: String,
    /// Of its kind in its namespace.
    collection: String,
    name: String,
}

impl Object {
    pub fn new(role: Role, namespace: &str, blog: &str) -> Self {
        let (group_version, plural, name) = match role {
            Role::Child(child) => {
                let resource = child.kind().api_resource();
                (resource.api_version, resource.plural, child.name(blog))
            }
            Role::Claim => ("v1".to_owned(), "persistentvolumeclaims".to_owned(), data_claim(blog)),
        };
        let root = if group_version == "v1" { "/api" } else { "/apis" };
        let collection = format!("{root}/{group_version}/namespaces/{namespace}/{plural}");
        Self { role, namespace: namespace.into(), collection, name }
    }

    fn path(&self) -> String {
        format!("{}/{}", self.collection, self.name)
    }

    /// Whether only pods show a fault of it: the content of a Secret, or an image that doesn't exist.
    pub fn needs_pods(&self, fault: Fault) -> bool {
        let Role::Child(child) = self.role else { return false };
        child.kind() == OwnedKind::Secret || (child == Child::App && fault == Fault::Garbage)
    }

    /// The live object, if it exists.
    pub fn read(&self) -> Option<Value> {
        api::read(&self.path())
    }

    pub fn delete(&self) -> Result<(), String> {
        let options = json!({"propagationPolicy": "Background"});
        api::send(Method::DELETE, &self.path(), "application/json", &options).map(drop)
    }

    pub fn merge(&self, patch: &Value) -> Result<(), String> {
        api::merge(&self.path(), patch).map(drop)
    }

    /// Removes one finalizer. The others stay: the API server refuses new ones on an object that is being deleted.
    pub fn remove_finalizer(&self, name: &str) -> Result<(), String> {
        let live = self.read().ok_or("NotFound")?;
        let mut finalizers = live["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
        finalizers.retain(|one| one != name);
        self.merge(&json!({"metadata": {"finalizers": finalizers}}))
    }

    /// The changes that the API server accepts, found by dry runs that halve what is refused.
    pub fn accepted(&self, changes: &[Value]) -> Vec<Value> {
        let mut kept = Vec::new();
        self.accept(changes, &mut kept);
        kept
    }

    fn accept(&self, changes: &[Value], kept: &mut Vec<Value>) {
        if changes.is_empty() {
            return;
        }
        let attempt = [&kept[..], changes].concat();
        if self.patch(&attempt, "dryRun=All").is_ok() {
            kept.extend_from_slice(changes);
        } else if changes.len() > 1 {
            let (first, second) = changes.split_at(changes.len() / 2);
            self.accept(first, kept);
            self.accept(second, kept);
        }
    }

    /// Applies JSON patch operations; returns the object after them.
    pub fn patch(&self, changes: &[Value], query: &str) -> Result<Value, String> {
        let path = format!("{}?{query}", self.path());
        api::send(Method::PATCH, &path, "application/json-patch+json", &changes.into())
    }

    /// Writes a copy back as an administrator would, from a backup.
    pub fn restore(&self, copy: &Value) -> Result<(), String> {
        if self.read().is_some_and(|live| live["immutable"] == true) {
            self.delete()?;
        }
        let mut copy = copy.clone();
        copy["status"].take();
        let metadata = &copy["metadata"];
        let kept = ["name", "namespace", "labels", "annotations", "ownerReferences", "finalizers"];
        copy["metadata"] = kept.into_iter().map(|key| (key.to_owned(), metadata[key].clone())).collect();
        let json = "application/json";
        let mut written = api::send(Method::POST, &self.collection, json, &copy);
        for _ in 0..RESTORES {
            if written.is_ok() {
                break;
            }
            // Some kinds refuse an update that names no version.
            let live = self.read().unwrap_or_default();
            copy["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"].clone();
            written = api::send(Method::PUT, &self.path(), json, &copy);
        }
        written.map(drop)
    }

    /// What differs from an earlier state of it in the fields that the operator owns.
    pub fn difference(&self, before: &Value) -> Option<String> {
        let Some(live) = self.read() else { return Some("it is gone".into()) };
        if !live["metadata"]["deletionTimestamp"].is_null() {
            return Some("it is being deleted".into());
        }
        if live["metadata"]["ownerReferences"] != before["metadata"]["ownerReferences"] {
            return Some("it has another owner".into());
        }
        let differs = |field: &Field| {
            let now = value_at(&live, &field.path);
            let is_fine = |now: &Value| now == &field.value || (is_variable(&field.path) && !is_garbage(now));
            !now.is_some_and(is_fine)
        };
        let first = owned_fields(before).into_iter().find(differs)?;
        Some(format!("{} isn't {}", first.pointer, first.value))
    }
}

/// Generated values, and those that follow the title of a rollout.
fn is_variable(path: &[String]) -> bool {
    let has = |part: &str| path.iter().any(|key| key.contains(part));
    has("f:data") || has("f:flaskblog.dev/") || has("BLOG_TITLE")
}

/// As a fault writes it, in a Secret by Base64.
pub fn is_garbage(value: &Value) -> bool {
    value == "garbage" || value == "Z2FyYmFnZQ=="
}

/// A JSON patch operation.
pub fn operation(op: &str, path: &str, value: &Value) -> Value {
    json!({"op": op, "path": path, "value": value})
}
