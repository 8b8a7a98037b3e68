//! A blog under test: its conditions, and an author that changes a post of it.

use std::time::{Duration, Instant};

use e2e::{kubectl_json, node_address, wait_ready};
use serde_json::{Value, json};

use super::{
    api,
    object::{Object, Role},
};
use crate::{day_two::on, quickstart::Namespace, user::User};

/// The field that most kinds need to be there, so that every kind is.
const SPEC: &str = r#"{
  "autoscaling": {"minReplicas": 2, "maxReplicas": 3},
  "ingress": {"host": "matrix.example.com"},
  "monitoring": {"serviceMonitor": true, "prometheusRule": true, "dashboard": true},
  "database": {"managed": {"recommendResources": true}}
}"#;
pub const NAME: &str = "hit";
/// The status may be behind the truth for so long.
const LAG: Duration = Duration::from_secs(30);

pub struct Blog {
    pub namespace: String,
    _guard: Namespace,
    author: User,
    number: u32,
    false_since: Option<Instant>,
}

/// A condition: its status, reason and message.
pub type Condition = (String, String, String);

/// The status, as far as it is of the current spec.
pub struct Conditions(Value);

impl Conditions {
    pub fn get(&self, type_: &str) -> Option<Condition> {
        let all = self.0["status"]["conditions"].as_array()?;
        let one = all.iter().find(|one| one["type"] == type_)?;
        if one["observedGeneration"] != self.0["metadata"]["generation"] {
            return None;
        }
        let text = |key: &str| one[key].as_str().unwrap_or_default().to_owned();
        Some((text("status"), text("reason"), text("message")))
    }

    pub fn is(&self, type_: &str, status: &str) -> bool {
        self.get(type_).is_some_and(|(found, ..)| found == status)
    }
}

impl Blog {
    /// Creates it, waits until it is ready, and writes its post.
    pub fn created(namespace: &str) -> Self {
        // An interrupted run may have left objects that are held.
        for role in Role::all() {
            let _ = Object::new(role, namespace, NAME).merge(&json!({"metadata": {"finalizers": null}}));
        }
        let guard = Namespace::new(namespace);
        let spec: Value = serde_json::from_str(SPEC).unwrap();
        let manifest = json!({"apiVersion": "flaskblog.dev/v1alpha1", "kind": "FlaskBlog", "metadata": {"name": NAME}, "spec": spec});
        let (applied, words) = e2e::kubectl_apply(namespace, &manifest.to_string());
        assert!(applied, "{words}");
        wait_ready(namespace, NAME);
        let address = node_address("flaskblog-worker");
        let blog = kubectl_json(&["get", "fb", NAME, "-n", namespace]).unwrap();
        let url = format!("http://{address}:{}", blog["status"]["nodePort"]);
        e2e::eventually("the node port leads there", namespace, || e2e::answers(&url).then_some(()));
        let author = on(async {
            let author = User::registered(&url).await;
            author.write("0").await;
            author
        });
        Self { namespace: namespace.to_owned(), _guard: guard, author, number: 0, false_since: None }
    }

    fn path(&self) -> String {
        format!("/apis/flaskblog.dev/v1alpha1/namespaces/{}/flaskblogs/{NAME}", self.namespace)
    }

    pub fn change(&self, spec: &Value) -> Result<(), String> {
        api::merge(&self.path(), &json!({"spec": spec})).map(drop)
    }

    pub fn conditions(&self) -> Conditions {
        Conditions(api::read(&self.path()).unwrap_or_default())
    }

    /// Reads the status, and checks that `Ready` isn't true for long while the post can't be changed.
    ///
    /// # Errors
    /// What the blog answered meanwhile.
    pub fn look(&mut self) -> Result<Conditions, String> {
        let before = self.conditions();
        if !before.is("Ready", "True") {
            self.false_since = None;
            return Ok(before);
        }
        match self.changes_its_post() {
            Ok(()) => self.false_since = None,
            Err(words) if self.false_since.get_or_insert_with(Instant::now).elapsed() > LAG => {
                self.false_since = None;
                return Err(format!("Ready is true for {LAG:?}, and: {words}"));
            }
            Err(_) => return Ok(Conditions(Value::Null)),
        }
        Ok(before)
    }

    /// The author changes the post, which keeps its number through every fault, and reads it.
    pub fn changes_its_post(&mut self) -> Result<(), String> {
        self.number += 1;
        let title = format!("edition {}", self.number);
        let mut outcome = on(edit(&self.author, &title));
        // New session keys end sessions, which is no outage.
        let is_logged_out = |words: &String| words.contains("/auth/login") || words.contains("401");
        if outcome.as_ref().is_err_and(is_logged_out) {
            outcome = on(async {
                self.author.try_log_in().await?;
                edit(&self.author, &title).await
            });
        }
        outcome
    }
}

async fn edit(author: &User, title: &str) -> Result<(), String> {
    let answer = author.try_form("/1/update", &[("title", title), ("body", "text")]).await?;
    let location = answer.headers().get("location").and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !answer.status().is_redirection() || location.contains("/auth/login") {
        return Err(format!("the change is answered with {} {location}", answer.status()));
    }
    let page = author.try_page("/1/update").await?;
    if page.contains(title) { Ok(()) } else { Err(format!("{title} isn't in the post's form")) }
}
