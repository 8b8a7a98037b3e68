//! What another client does to an object, and how an administrator takes it back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{JoinHandle, sleep, spawn},
    time::{Duration, Instant},
};

use flaskblog_api::Child;
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    api,
    fields::{Field, owned_fields},
    object::{Object, Role, operation},
};

/// A finalizer of another client.
pub const HOLD: &str = "example.com/hold";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Deleted,
    /// Deleted, and held by a finalizer of another client.
    BeingDeleted,
    /// Every field of the operator that may go is removed.
    Emptied,
    /// Every field of the operator that takes another value has one.
    Garbage,
    /// Garbage that can't be changed any more.
    Immutable,
    OwnedByAnother,
    /// Another manager writes one field again and again.
    Contested,
}

impl Fault {
    pub const ALL: [Self; 7] = [
        Self::Deleted,
        Self::BeingDeleted,
        Self::Emptied,
        Self::Garbage,
        Self::Immutable,
        Self::OwnedByAnother,
        Self::Contested,
    ];

    /// Brings it about. Nothing if this object can't have it.
    pub fn inject(self, object: &Object, before: &Value) -> Result<Option<Injected>, String> {
        let mut injected = Injected { fault: self, client: None };
        let changes = match self {
            Self::Deleted => {
                object.delete()?;
                return Ok(Some(injected));
            }
            Self::BeingDeleted => {
                let mut finalizers = before["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
                finalizers.push(HOLD.into());
                object.patch(&[operation("add", "/metadata/finalizers", &finalizers.into())], "")?;
                object.delete()?;
                return Ok(Some(injected));
            }
            Self::OwnedByAnother => {
                vec![operation("add", "/metadata/ownerReferences", &another_owner(object)?)]
            }
            Self::Emptied => object.accepted(&removals(before)),
            Self::Garbage => object.accepted(&replacements(before)),
            Self::Immutable => immutable(object, before),
            Self::Contested => object.accepted(&replacements(before)).pop().into_iter().collect(),
        };
        if changes.is_empty() {
            return Ok(None);
        }
        object.patch(&changes, "")?;
        if self == Self::Contested {
            injected.client = Some(Client::start(object, changes));
        }
        Ok(Some(injected))
    }
}

/// A ConfigMap of another client, made when it is needed first.
fn another_owner(object: &Object) -> Result<Value, String> {
    let path = format!("/api/v1/namespaces/{}/configmaps", object.namespace);
    // It exists after the first time.
    let made = json!({"metadata": {"name": "another-owner"}});
    let _ = api::send(Method::POST, &path, "application/json", &made);
    let other = api::read(&format!("{path}/another-owner")).ok_or("ConfigMap another-owner isn't there")?;
    let uid = &other["metadata"]["uid"];
    let owner = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "another-owner", "uid": uid, "controller": true});
    Ok(json!([owner]))
}

fn removals(before: &Value) -> Vec<Value> {
    owned_fields(before).iter().map(|field| json!({"op": "remove", "path": field.pointer})).collect()
}

fn replacements(before: &Value) -> Vec<Value> {
    let garbage = |field: &Field| {
        let text = if field.pointer.starts_with("/data/") && before["kind"] == "Secret" {
            "Z2FyYmFnZQ=="
        } else {
            "garbage"
        };
        operation("replace", &field.pointer, &garbage(&field.value, text))
    };
    owned_fields(before).iter().map(garbage).collect()
}

fn garbage(value: &Value, text: &str) -> Value {
    match value {
        Value::String(_) => text.into(),
        Value::Bool(is_set) => (!is_set).into(),
        Value::Array(items) => items.iter().map(|item| garbage(item, text)).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(key, value)| (key.clone(), garbage(value, text))).collect()
        }
        // A node port must stay one.
        Value::Number(number) if number.as_i64().is_some_and(|number| number > 30_000) => {
            number.as_i64().map(|number| number - 1).into()
        }
        // Small, as it may be a number of replicas or seconds.
        _ => 3.into(),
    }
}

/// For kinds that have the field only: the API server drops it from the others.
fn immutable(object: &Object, before: &Value) -> Vec<Value> {
    let mut changes = object.accepted(&replacements(before));
    changes.push(operation("add", "/immutable", &true.into()));
    let after = object.patch(&changes, "dryRun=All").unwrap_or_default();
    if after["immutable"] == true { changes } else { Vec::new() }
}

/// A fault that is in effect.
pub struct Injected {
    fault: Fault,
    client: Option<Client>,
}

impl Injected {
    /// What ends by itself in the world outside: the other client stops.
    pub fn stop(&mut self) {
        self.client = None;
    }

    pub fn is_contested(&self) -> bool {
        self.client.is_some()
    }

    /// Takes it back as an administrator would.
    pub fn undo(&mut self, object: &Object, before: &Value) -> Result<(), String> {
        self.stop();
        match self.fault {
            Fault::BeingDeleted => {
                match object.remove_finalizer(HOLD) {
                    // It goes at once, and returns from the copy that the message advises to keep.
                    _ if object.role == Role::Child(Child::DatabaseSecret) => object.restore(before),
                    Err(error) if !error.contains("NotFound") => Err(error),
                    _ => Ok(()),
                }
            }
            Fault::OwnedByAnother => {
                let owners = before["metadata"]["ownerReferences"].clone();
                object.merge(&json!({"metadata": {"ownerReferences": owners}}))
            }
            _ => object.restore(before),
        }
    }
}

/// Another manager that writes one field twice a second, for at most ten minutes.
struct Client {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Client {
    fn start(object: &Object, changes: Vec<Value>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let object = object.clone();
        let thread = spawn(move || {
            let end = Instant::now() + Duration::from_secs(600);
            while !stopped.load(Ordering::Relaxed) && Instant::now() < end {
                // It may be refused at any time: the object can be gone.
                let _ = object.patch(&changes, "fieldManager=another-manager");
                sleep(Duration::from_millis(500));
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
