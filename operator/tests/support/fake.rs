//! An in-memory fake API server that records the order of calls and stores their effects.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, Mutex},
};

use http::{Method, Request, Response, StatusCode};
use kube::{Client, client::Body};
use serde_json::{Value, json};
use tower::service_fn;

/// The fault of a write that a test disturbs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The write is refused with this status, and nothing is stored.
    Refused(u16),
    /// The write is carried out, but the response is lost.
    AnswerLost,
}

const EXISTS: &str = "already exists";

type Disturb = Box<dyn FnMut(&str, usize) -> Option<Fault> + Send>;

#[derive(Default)]
struct State {
    /// Objects by their path.
    objects: BTreeMap<String, Value>,
    /// Every write as `VERB kind/name`, in order.
    writes: Vec<String>,
    /// Every read as `VERB kind/name`, in order.
    reads: Vec<String>,
    events: Vec<Value>,
    /// Events of other components.
    object_events: Vec<Value>,
    versions: u64,
    disturb: Option<Disturb>,
}

/// The fake API server. Clones share their state.
#[derive(Clone, Default)]
pub struct FakeApi(Arc<Mutex<State>>);

impl FakeApi {
    /// Stores another component's Event about an object.
    pub fn report_event(&self, event: Value) {
        self.0.lock().unwrap().object_events.push(event);
    }

    /// A client of this server.
    pub fn client(&self) -> Client {
        let fake = self.clone();
        Client::new(
            service_fn(move |request: Request<Body>| {
                let fake = fake.clone();
                async move { Ok::<_, Infallible>(fake.answer(request).await) }
            }),
            "default",
        )
    }

    /// Stores an object as another client would.
    pub fn put(&self, path: &str, object: Value) {
        let mut state = self.0.lock().unwrap();
        let stored = state.version(object);
        state.objects.insert(path.to_owned(), stored);
    }

    pub fn get(&self, path: &str) -> Option<Value> {
        self.0.lock().unwrap().objects.get(path).cloned()
    }

    pub fn remove(&self, path: &str) {
        self.0.lock().unwrap().objects.remove(path);
    }

    /// Changes an object as another client would.
    pub fn edit(&self, path: &str, edit: impl FnOnce(&mut Value)) {
        let mut object = self.get(path).expect("the object to edit exists");
        edit(&mut object);
        self.put(path, object);
    }

    /// Returns the writes so far and clears them.
    pub fn take_writes(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap().writes)
    }

    /// Returns the reads so far and clears them.
    pub fn take_reads(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap().reads)
    }

    pub fn events(&self) -> Vec<Value> {
        self.0.lock().unwrap().events.clone()
    }

    /// Sets a fault function.
    ///
    /// It is called before each write, with its `VERB kind/name` and its number from 0.
    pub fn disturb(&self, disturb: impl FnMut(&str, usize) -> Option<Fault> + Send + 'static) {
        self.0.lock().unwrap().disturb = Some(Box::new(disturb));
    }

    pub fn leave_alone(&self) {
        self.0.lock().unwrap().disturb = None;
    }

    /// All stored objects, without values that differ from run to run.
    pub fn normalized(&self) -> BTreeMap<String, Value> {
        let mut objects = self.0.lock().unwrap().objects.clone();
        for object in objects.values_mut() {
            for key in ["uid", "resourceVersion", "generation"] {
                object["metadata"].as_object_mut().unwrap().remove(key);
            }
            if let Some(annotations) = object["metadata"]["annotations"].as_object_mut() {
                // Dates differ from run to run.
                annotations
                    .iter_mut()
                    .filter(|(key, _)| key.ends_with("-after"))
                    .for_each(|(_, date)| *date = "later".into());
            }
            if let Some(data) = object.get_mut("stringData") {
                data.as_object_mut().unwrap().values_mut().for_each(|value| *value = "generated".into());
            }
        }
        objects
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let body = body.collect_bytes().await.unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        let metadata_only = parts
            .headers
            .get("accept")
            .is_some_and(|accept| accept.to_str().unwrap().contains("PartialObject"));
        let (status, answer) =
            self.0.lock().unwrap().handle(&parts.method, parts.uri.path(), body, metadata_only);
        Response::builder().status(status).body(Body::from(serde_json::to_vec(&answer).unwrap())).unwrap()
    }
}

impl State {
    fn handle(
        &mut self,
        method: &Method,
        path: &str,
        body: Value,
        metadata_only: bool,
    ) -> (StatusCode, Value) {
        if method == Method::GET && path.ends_with("/events") {
            let items = self.object_events.clone();
            let list = json!({"apiVersion": "events.k8s.io/v1", "kind": "EventList", "metadata": {}, "items": items});
            return (StatusCode::OK, list);
        }
        if path.ends_with("/events") || path.contains("/events/") {
            self.events.push(body.clone());
            return (StatusCode::CREATED, body);
        }
        if method == Method::GET {
            self.reads.push(short(path));
            return self.read(path, metadata_only);
        }
        let name =
            if method == Method::POST { body["metadata"]["name"].as_str() } else { path.rsplit('/').next() };
        let target =
            if method == Method::POST { format!("{path}/{}", name.unwrap()) } else { path.to_owned() };
        let line = format!("{method} {}", short(&target));
        let number = self.writes.len();
        self.writes.push(line.clone());
        match self.disturb.as_mut().and_then(|disturb| disturb(&line, number)) {
            Some(Fault::Refused(code)) => failure(code, "refused by the test"),
            Some(Fault::AnswerLost) => {
                self.write(method, &target, body);
                failure(500, "answer lost by the test")
            }
            None => self.write(method, &target, body),
        }
    }

    fn read(&self, path: &str, metadata_only: bool) -> (StatusCode, Value) {
        if path.ends_with("/pods") {
            let own = format!("{path}/");
            let pods = self.objects.iter().filter(|(path, _)| path.starts_with(&own)).map(|(_, pod)| pod);
            let items: Vec<&Value> =
                pods.filter(|pod| pod["metadata"]["labels"]["component"] == "app").collect();
            return (
                StatusCode::OK,
                json!({"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": items}),
            );
        }
        match self.objects.get(path) {
            Some(object) if metadata_only => {
                let meta = json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
                    "metadata": object["metadata"]});
                (StatusCode::OK, meta)
            }
            Some(object) => (StatusCode::OK, object.clone()),
            // A missing path gets a response in plain text.
            None if !path.contains("/namespaces/") => (StatusCode::NOT_FOUND, json!("404 page not found")),
            None => failure(404, "not found"),
        }
    }

    /// Whether a write has a stale resourceVersion.
    fn is_outdated(&self, path: &str, body: &Value) -> bool {
        let present = self.objects.get(path.trim_end_matches("/status"));
        let version = |object: &Value| object["metadata"]["resourceVersion"].as_str().map(str::to_owned);
        present.is_some_and(|present| version(body).is_some_and(|named| Some(named) != version(present)))
    }

    fn write(&mut self, method: &Method, path: &str, body: Value) -> (StatusCode, Value) {
        match *method {
            Method::PATCH if self.is_outdated(path, &body) => failure(409, "Conflict"),
            Method::DELETE => {
                let known = self.objects.remove(path).is_some();
                if known {
                    (StatusCode::OK, json!({"kind": "Status", "status": "Success"}))
                } else {
                    failure(404, "gone")
                }
            }
            Method::POST if self.objects.contains_key(path) => failure(409, EXISTS),
            _ => {
                let target = path.trim_end_matches("/status").to_owned();
                let mut object = self.objects.get(&target).cloned().unwrap_or(json!({"metadata": {}}));
                match body {
                    Value::Array(operations) => {
                        operations.into_iter().for_each(|one| replace(&mut object, &one));
                    }
                    body => merge(&mut object, body),
                }
                let object = self.version(object);
                self.objects.insert(target, object.clone());
                (StatusCode::OK, object)
            }
        }
    }

    /// Sets uid, generation and a new resourceVersion, as the API server does.
    fn version(&mut self, mut object: Value) -> Value {
        self.versions += 1;
        let version = self.versions;
        let metadata = &mut object["metadata"];
        if metadata["uid"].is_null() {
            metadata["uid"] = format!("uid-{version}").into();
            metadata["generation"] = 1.into();
        }
        metadata["resourceVersion"] = version.to_string().into();
        object
    }
}

/// The only JSON patch operation in use.
fn replace(object: &mut Value, operation: &Value) {
    assert_eq!(operation["op"], "replace");
    *object.pointer_mut(operation["path"].as_str().unwrap()).unwrap() = operation["value"].clone();
}

/// Replaces the fields of the patch.
///
/// This is enough for apply with one field manager.
fn merge(object: &mut Value, patch: Value) {
    match (object, patch) {
        (Value::Object(object), Value::Object(patch)) => {
            for (key, value) in patch {
                if value.is_null() {
                    object.remove(&key);
                } else {
                    merge(object.entry(key).or_insert(Value::Null), value);
                }
            }
        }
        (object, patch) => *object = patch,
    }
}

fn short(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').collect();
    let from = parts.iter().position(|part| *part == "namespaces").map_or(0, |at| at + 2);
    parts[from..].join("/")
}

fn failure(code: u16, message: &str) -> (StatusCode, Value) {
    let reason = match code {
        403 => "Forbidden",
        404 => "NotFound",
        409 if message == EXISTS => "AlreadyExists",
        409 => "Conflict",
        422 => "Invalid",
        _ => "InternalError",
    };
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message,
        "reason": reason, "code": code});
    (StatusCode::from_u16(code).unwrap(), status)
}
