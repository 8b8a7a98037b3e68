//! Objects that another manager keeps changing back, or creating: written or deleted ever more rarely, and named in the status.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use flaskblog_api::{
    Child, OwnedKind,
    children::{DESIRED_HASH, MANAGER},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::{
    ResourceExt,
    api::{DynamicObject, ListParams},
};
use serde_json::{Value, json};
use tokio::time::Instant;
use tracing::debug;

use crate::{
    context::Context,
    model::{blog_meta::Identity, semantic_eq::covers},
    reconcile::observe::child_api,
};

/// With so many writes of one object within a minute it is contested: its creation and a few edits by hand are usual.
const CONTESTED: usize = 4;
/// In this time.
const WINDOW: Duration = Duration::from_secs(60);
/// Before the first write after that.
const FIRST: Duration = Duration::from_secs(20);
/// However long the contest lasts.
const LONGEST: Duration = Duration::from_secs(300);
/// Past so many objects those that weren't written for a minute are forgotten.
const LIMIT: usize = 10_000;
/// More autoscalers than this in one namespace aren't searched.
const AUTOSCALERS: u32 = 100;

/// The writes of a minute, by the blog's uid and the object's role.
#[derive(Debug, Default)]
pub struct Contests(Mutex<HashMap<(String, Child), Contest>>);

/// Generation of the FlaskBlog and hash of the object; without a hash it isn't wanted.
type Wanted = (Option<i64>, Option<String>);

fn wanted_by(id: &Identity, object: Option<&DynamicObject>) -> Wanted {
    (id.generation, object.and_then(|object| object.annotations().get(DESIRED_HASH).cloned()))
}

#[derive(Debug)]
struct Contest {
    /// What was wanted: another spec is no contest.
    wanted: Wanted,
    /// Those of the last minute.
    writes: Vec<Instant>,
    /// How often it was delayed.
    delays: u32,
    until: Instant,
    /// The sentence for the status, once it is known.
    words: Option<String>,
}

impl Contest {
    fn new(wanted: Wanted) -> Self {
        Self { wanted, writes: Vec::new(), delays: 0, until: Instant::now(), words: None }
    }

    fn write(&mut self) {
        let now = Instant::now();
        self.writes.retain(|write| now - *write < WINDOW);
        self.writes.push(now);
        let goes_on = self.delays > 0 && now < self.until + WINDOW;
        if goes_on || self.writes.len() >= CONTESTED {
            self.until = now + FIRST.saturating_mul(1 << self.delays.min(9)).min(LONGEST);
            self.delays = self.delays.saturating_add(1);
        } else {
            (self.delays, self.words) = (0, None);
        }
    }

    fn left(&self) -> Option<Duration> {
        Some(self.until.saturating_duration_since(Instant::now())).filter(|left| !left.is_zero())
    }
}

impl Contests {
    /// Counts a write of that content, or the deletion of an object that isn't wanted.
    pub fn wrote(&self, id: &Identity, role: Child, object: Option<&DynamicObject>) {
        let mut all = self.lock();
        if all.len() >= LIMIT {
            all.retain(|_, one| one.until.elapsed() < WINDOW);
        }
        let wanted = wanted_by(id, object);
        let one = all.entry((id.uid.clone(), role)).or_insert_with(|| Contest::new(wanted.clone()));
        if one.wanted != wanted {
            *one = Contest::new(wanted);
        }
        one.write();
    }

    /// Whether that object isn't to be written yet, or not to be deleted if it isn't wanted.
    #[must_use]
    pub fn holds(&self, id: &Identity, role: Child, object: Option<&DynamicObject>) -> bool {
        let all = self.lock();
        let one = all.get(&(id.uid.clone(), role));
        one.is_some_and(|one| one.left().is_some() && one.wanted == wanted_by(id, object))
    }

    /// When the first of a blog's contested objects may be written again.
    #[must_use]
    pub fn next(&self, uid: &str) -> Option<Duration> {
        self.lock().iter().filter(|((of, _), _)| of == uid).filter_map(|(_, one)| one.left()).min()
    }

    /// The status' sentences on the blog's contested objects: until a minute after the last delay nothing proves an end.
    #[must_use]
    pub fn words(&self, uid: &str) -> Vec<String> {
        let all = self.lock();
        let lasting = |one: &&Contest| one.delays > 0 && one.until.elapsed() < WINDOW;
        let mut words: Vec<String> = all
            .iter()
            .filter(|((of, _), _)| of == uid)
            .map(|(_, one)| one)
            .filter(lasting)
            .filter_map(|one| one.words.clone())
            .collect();
        words.sort();
        words
    }

    fn explain(&self, uid: &str, role: Child, words: String) {
        if let Some(one) = self.lock().get_mut(&(uid.to_owned(), role)) {
            one.words = Some(words);
        }
    }

    fn is_explained(&self, uid: &str, role: Child) -> bool {
        self.lock().get(&(uid.to_owned(), role)).is_some_and(|one| one.words.is_some())
    }

    /// The blog is gone.
    pub fn forget(&self, uid: &str) {
        self.lock().retain(|(of, _), _| of != uid);
    }

    /// A panic while counting leaves usable counts.
    fn lock(&self) -> MutexGuard<'_, HashMap<(String, Child), Contest>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Finds out which manager creates an object that isn't wanted (client required). What can't be read isn't named.
pub async fn explain_deletion(ctx: &Context, id: &Identity, role: Child) {
    if ctx.contests.is_explained(&id.uid, role) {
        return;
    }
    let (kind, name) = (role.kind().api_resource(), role.name(&id.name));
    let live = child_api::<DynamicObject>(&ctx.client.0, id, role.kind()).get_metadata_opt(&name).await;
    let Ok(live) = live.inspect_err(|error| debug!(name, %error, "failed to read a contested object")) else {
        return;
    };
    let words = format!(
        "{manager} keeps creating {kind} {name}, which the FlaskBlog doesn't ask for, so it is deleted ever more rarely: end that; \
         this names its managers: kubectl get {plural} {name} --namespace {namespace} --show-managed-fields --output yaml",
        manager =
            live.as_ref().and_then(|live| manager(live.managed_fields(), &[])).unwrap_or("another program"),
        kind = kind.kind,
        plural = kind.plural,
        namespace = id.namespace,
    );
    ctx.contests.explain(&id.uid, role, words);
}

/// Finds out which field of the object is contested, and by which manager (client required). What can't be read isn't named.
pub async fn explain(ctx: &Context, id: &Identity, role: Child, wanted: &DynamicObject) {
    if ctx.contests.is_explained(&id.uid, role) {
        return;
    }
    let (kind, name) = (role.kind().api_resource(), role.name(&id.name));
    let live = match role.kind() {
        // Of a Secret nothing but metadata is ever read.
        OwnedKind::Secret => Ok(None),
        kind => child_api::<DynamicObject>(&ctx.client.0, id, kind).get_opt(&name).await,
    };
    let Ok(live) = live.inspect_err(|error| debug!(name, %error, "failed to read a contested object")) else {
        return;
    };
    let path = live.as_ref().and_then(|live| first_difference(live, wanted));
    let autoscaler = match path.as_deref() {
        Some([spec, field]) if role == Child::App && spec == "spec" && field == "replicas" => {
            autoscaler(ctx, id).await
        }
        _ => None,
    };
    let words = match (live, path, autoscaler) {
        (_, _, Some(autoscaler)) => format!(
            "HorizontalPodAutoscaler {autoscaler} scales Deployment {name}, whose replicas follow the FlaskBlog: point its \
             scaleTargetRef at FlaskBlog {blog}, or delete it and set spec.autoscaling: kubectl delete \
             horizontalpodautoscaler {autoscaler} --namespace {namespace}",
            blog = id.name,
            namespace = id.namespace,
        ),
        (Some(live), Some(path), None) => format!(
            "{manager} keeps changing {path} of {kind} {name}, so it is written back ever more rarely: end that change; \
             this names its managers: kubectl get {plural} {name} --namespace {namespace} --show-managed-fields --output yaml",
            manager = manager(live.managed_fields(), &path).unwrap_or("another program"),
            path = path.join("."),
            kind = kind.kind,
            plural = kind.plural,
            namespace = id.namespace,
        ),
        // By its name alone kubectl refuses to watch what has just been deleted.
        _ => format!(
            "another program keeps changing or deleting {kind} {name}, so it is written back ever more rarely: end that; \
             this shows it: kubectl get {plural} --namespace {namespace} --field-selector metadata.name={name} --watch",
            kind = kind.kind,
            plural = kind.plural,
            namespace = id.namespace,
        ),
    };
    ctx.contests.explain(&id.uid, role, words);
}

/// Another autoscaler than the blog's own that scales its Deployment.
async fn autoscaler(ctx: &Context, id: &Identity) -> Option<String> {
    let api = child_api::<DynamicObject>(&ctx.client.0, id, OwnedKind::HorizontalPodAutoscaler);
    let all = api.list(&ListParams::default().limit(AUTOSCALERS)).await.ok()?;
    let name = Child::App.name(&id.name);
    let target = |one: &DynamicObject| {
        let target = &one.data["spec"]["scaleTargetRef"];
        target["kind"] == "Deployment" && target["name"] == *name
    };
    all.items.into_iter().find(target).map(|one| one.name_any())
}

/// The way to the first field that isn't as wanted, spec first.
fn first_difference(live: &DynamicObject, wanted: &DynamicObject) -> Option<Vec<String>> {
    let metadata = |object: &DynamicObject| {
        json!({"metadata": {"labels": object.labels(), "annotations": object.annotations(),
            "ownerReferences": object.owner_references()}})
    };
    difference(&live.data, &wanted.data).or_else(|| difference(&metadata(live), &metadata(wanted)))
}

fn difference(live: &Value, wanted: &Value) -> Option<Vec<String>> {
    if covers(live, wanted) {
        return None;
    }
    let below = |key: &str, live: &Value, wanted: &Value| {
        let rest = difference(live, wanted)?;
        Some(std::iter::once(key.to_owned()).chain(rest).collect())
    };
    let found = match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => {
            wanted.iter().find_map(|(key, value)| below(key, live.get(key).unwrap_or(&Value::Null), value))
        }
        (Value::Array(live), Value::Array(wanted)) => wanted.iter().find_map(|item| {
            let name = item["name"].as_str()?;
            below(name, live.iter().find(|other| other["name"] == *name)?, item)
        }),
        _ => None,
    };
    Some(found.unwrap_or_default())
}

/// The manager that holds the field, or the nearest one around it; of several the newest.
fn manager<'a>(entries: &'a [ManagedFieldsEntry], path: &[String]) -> Option<&'a str> {
    let others = entries
        .iter()
        .filter(|entry| entry.manager.as_deref().is_some_and(|name| !name.starts_with(MANAGER)));
    let depth =
        |entry: &ManagedFieldsEntry| entry.fields_v1.as_ref().map_or(0, |fields| depth(&fields.0, path));
    let best = others.max_by_key(|entry| (depth(entry), entry.time.as_ref().map(|time| time.0)))?;
    best.manager.as_deref()
}

/// How far the way leads within a set of fields (`f:NAME`, and `k:{"name":"NAME"}` in lists).
fn depth(fields: &Value, path: &[String]) -> usize {
    let (Some((first, rest)), Some(fields)) = (path.split_first(), fields.as_object()) else { return 0 };
    let in_list = format!("\"{first}\"");
    let below = fields.get(&format!("f:{first}")).or_else(|| {
        fields.iter().find(|(key, _)| key.starts_with("k:") && key.contains(&in_list)).map(|(_, below)| below)
    });
    below.map_or(0, |below| 1 + depth(below, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(uid: &str) -> Identity {
        Identity { namespace: "press".into(), name: "daily".into(), uid: uid.into(), generation: Some(1) }
    }

    fn object(spec: Value) -> DynamicObject {
        let object =
            json!({"metadata": {"name": "x", "annotations": {DESIRED_HASH: spec.to_string()}}, "spec": spec});
        serde_json::from_value(object).unwrap()
    }

    /// How many writes a client provokes in an hour that reverts each of them at once.
    #[tokio::test(start_paused = true)]
    async fn a_client_that_reverts_every_write_provokes_few_of_them() {
        let (contests, wanted) = (Contests::default(), object(json!({"replicas": 2})));
        let mut writes = 0;
        for _second in 0..3600 {
            if !contests.holds(&id("u"), Child::App, Some(&wanted)) {
                contests.wrote(&id("u"), Child::App, Some(&wanted));
                writes += 1;
            }
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert!((12..20).contains(&writes), "{writes}");
        assert!(
            !contests.holds(&id("u"), Child::App, Some(&object(json!({"replicas": 3})))),
            "another spec is no contest"
        );
        assert!(!contests.holds(&id("u"), Child::App, None), "nor is no longer wanting it");
        assert!(
            !contests.holds(&id("v"), Child::App, Some(&wanted))
                && !contests.holds(&id("u"), Child::AppService, Some(&wanted))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn delays_of_a_contest_grow_from_20_seconds_to_5_minutes() {
        let (contests, wanted) = (Contests::default(), object(json!({})));
        let mut delays = Vec::new();
        for _ in 0..CONTESTED + 5 {
            contests.wrote(&id("u"), Child::App, Some(&wanted));
            if let Some(delay) = contests.next("u") {
                delays.push(delay.as_secs());
                tokio::time::advance(delay).await;
            }
        }
        assert_eq!(delays, [20, 40, 80, 160, 300, 300]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_contest_ends_a_minute_after_its_last_delay() {
        let (contests, wanted) = (Contests::default(), object(json!({})));
        for _ in 0..CONTESTED {
            assert_eq!(contests.next("u"), None);
            contests.wrote(&id("u"), Child::App, Some(&wanted));
        }
        assert_eq!(contests.next("u"), Some(FIRST));
        contests.explain("u", Child::App, "words".into());
        tokio::time::advance(FIRST + WINDOW - Duration::from_secs(1)).await;
        assert_eq!(contests.words("u"), ["words"]);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(contests.words("u").is_empty());
        contests.wrote(&id("u"), Child::App, Some(&wanted));
        assert_eq!(contests.next("u"), None, "one write is usual again");
    }

    #[test]
    fn a_contested_field_is_named_with_the_manager_that_holds_it() {
        let template = |image: &str| json!({"template": {"containers": [{"name": "blog", "image": image}]}});
        let path = first_difference(&object(template("a")), &object(template("b"))).unwrap();
        assert_eq!(path, ["spec", "template", "containers", "blog", "image"]);
        let fields =
            json!({"f:spec": {"f:template": {"f:containers": {"k:{\"name\":\"blog\"}": {"f:image": {}}}}}});
        let entries: Vec<ManagedFieldsEntry> = serde_json::from_value(json!([
            {"manager": "kubectl", "operation": "Update", "time": "2026-02-01T00:00:00Z", "fieldsV1": {"f:spec": {"f:replicas": {}}}},
            {"manager": "policy", "operation": "Update", "time": "2026-01-01T00:00:00Z", "fieldsV1": fields},
            {"manager": MANAGER, "operation": "Apply", "time": "2026-03-01T00:00:00Z", "fieldsV1": fields},
        ]))
        .unwrap();
        assert_eq!(manager(&entries, &path), Some("policy"));
        let labels = |value: &str| {
            let object = json!({"metadata": {"name": "x", "labels": {"team": value}}, "spec": {}});
            serde_json::from_value::<DynamicObject>(object).unwrap()
        };
        assert_eq!(first_difference(&labels("a"), &labels("b")).unwrap(), ["metadata", "labels", "team"]);
    }
}
