//! Step 5: what the user is told. Computed without a client; written on every path, errors included, and only if it
//! differs from what is there.

mod failures;
mod workloads;

use flaskblog_api::{
    FlaskBlog, FlaskBlogStatus,
    children::{Component, selector_text},
    conditions::{self as types, reasons},
};
use k8s_controller::conditions::{ConditionStatus, DesiredCondition, find, set};
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};

use self::{
    failures::{Failure, failure, schema_version},
    workloads::{App, Database, url},
};
use crate::{
    config::Settings,
    context::Context,
    desired::{Applied, Objects},
    error::Error,
    identity::Identity,
    observe::Observed,
    validate::Plan,
};

/// Everything that a reconcile found out and did; status and Events are computed from it.
#[derive(Debug)]
pub struct Done {
    /// What was there before.
    pub observed: Observed,
    /// What was meant.
    pub plan: Plan,
    /// What is there now.
    pub applied: Objects<Applied>,
}

/// What one reconcile has to say. Conditions that it doesn't name stay as they are.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Everything is as the spec says, and nothing is under way.
    pub settled: bool,
    conditions: Vec<DesiredCondition>,
    facts: Option<Facts>,
    generation: Option<i64>,
}

/// The fields of the status besides the conditions.
#[derive(Clone, Debug, PartialEq)]
struct Facts {
    replicas: i32,
    ready_replicas: i32,
    selector: String,
    url: Option<String>,
    node_port: Option<i32>,
    image: String,
    schema_version: Option<i64>,
}

/// Computes the report (no client required).
#[must_use]
pub fn report(
    blog: &FlaskBlog,
    id: &Identity,
    outcome: Result<&Done, &Error>,
    settings: &Settings,
) -> Report {
    match outcome {
        Ok(done) => report_of_state(blog, id, done, settings),
        Err(error) => report_of_error(blog, id, error),
    }
}

fn report_of_state(blog: &FlaskBlog, id: &Identity, done: &Done, settings: &Settings) -> Report {
    let app = App::of(&done.applied, done.plan.app.replicas);
    let database = Database::of(&done.applied);
    let problem = failure(&done.observed);
    let schema = schema_version(&done.observed)
        .or_else(|| blog.status.as_ref().and_then(|status| status.schema_version));
    let ready = ready(&app, &database, problem.as_ref());
    let settled = ready.status == ConditionStatus::True && problem.is_none();
    let conditions = vec![
        progressing(settled, &ready),
        degraded(problem.as_ref()),
        database_ready(&database),
        schema_ready(&app, schema, problem.as_ref()),
        app_available(&app),
        ready,
    ];
    let (url, node_port) = url(&done.applied, id, settings);
    Report {
        settled,
        conditions: conditions.into_iter().map(|one| one.observed_generation(id.generation)).collect(),
        facts: Some(Facts {
            replicas: app.replicas,
            ready_replicas: app.ready,
            selector: selector_text(&id.name, Component::App),
            url,
            node_port,
            image: done.plan.app.image.clone(),
            schema_version: schema,
        }),
        generation: id.generation,
    }
}

fn condition(type_: &str, status: bool, reason: &str, message: impl Into<String>) -> DesiredCondition {
    DesiredCondition::new(type_, ConditionStatus::from(status), reason, message)
}

/// The summary: every replica of the current spec serves and no other one is left.
fn ready(app: &App, database: &Database, problem: Option<&Failure>) -> DesiredCondition {
    let complete = app.complete && database.settled;
    if app.wanted == 0 && complete {
        let message = "stopped as asked: spec.replicas is 0; the database runs on";
        return condition(types::READY, true, reasons::SCALED_TO_ZERO, message);
    }
    if complete {
        let message = format!("{} of {} replicas serve", app.ready, app.wanted);
        return condition(types::READY, true, reasons::READY, message);
    }
    if let Some(problem) = problem {
        return condition(types::READY, false, problem.reason, &problem.message);
    }
    if !database.ready {
        return condition(
            types::READY,
            false,
            reasons::DATABASE_STARTING,
            "MySQL doesn't accept connections yet",
        );
    }
    if !database.settled {
        return condition(
            types::READY,
            false,
            reasons::ROLLING_OUT,
            "MySQL is about to be restarted with its new settings",
        );
    }
    let message = format!(
        "{} of {} replicas of the current spec serve, {} in all",
        app.updated_ready, app.wanted, app.ready
    );
    condition(types::READY, false, reasons::ROLLING_OUT, message)
}

fn progressing(settled: bool, ready: &DesiredCondition) -> DesiredCondition {
    if settled {
        return condition(types::PROGRESSING, false, reasons::SETTLED, "nothing is left to do");
    }
    condition(types::PROGRESSING, true, reasons::ROLLING_OUT, ready.message.clone())
}

fn degraded(problem: Option<&Failure>) -> DesiredCondition {
    match problem {
        Some(problem) => condition(types::DEGRADED, true, problem.reason, &problem.message),
        None => condition(types::DEGRADED, false, reasons::HEALTHY, "nothing is wrong"),
    }
}

fn database_ready(database: &Database) -> DesiredCondition {
    if database.ready {
        return condition(types::DATABASE_READY, true, reasons::AVAILABLE, "MySQL accepts connections");
    }
    let message = "MySQL doesn't accept connections yet";
    condition(types::DATABASE_READY, false, reasons::DATABASE_STARTING, message)
}

/// A replica reports ready only if it understands the schema, so a ready one of the current template proves it.
fn schema_ready(app: &App, version: Option<i64>, problem: Option<&Failure>) -> DesiredCondition {
    if let Some(problem) = problem.filter(|problem| problem.reason == reasons::MIGRATION_FAILED) {
        return condition(types::SCHEMA_READY, false, problem.reason, &problem.message);
    }
    match version {
        Some(version) if app.updated_ready > 0 || app.wanted == 0 => condition(
            types::SCHEMA_READY,
            true,
            reasons::MIGRATED,
            format!("the schema has version {version}"),
        ),
        _ => {
            let message = "no replica of the current spec has finished its migration yet";
            condition(types::SCHEMA_READY, false, reasons::MIGRATION_PENDING, message)
        }
    }
}

fn app_available(app: &App) -> DesiredCondition {
    match (app.ready, app.wanted) {
        (0, 0) => condition(types::APP_AVAILABLE, false, reasons::SCALED_TO_ZERO, "spec.replicas is 0"),
        (0, _) => condition(types::APP_AVAILABLE, false, reasons::UNAVAILABLE, "no replica serves"),
        (ready, _) => {
            condition(types::APP_AVAILABLE, true, reasons::AVAILABLE, format!("{ready} replicas serve"))
        }
    }
}

/// After an error. If the API server merely didn't answer, what was true of this generation may well still be true, so
/// Ready stays; every other error means that the blog isn't as the spec says.
fn report_of_error(blog: &FlaskBlog, id: &Identity, error: &Error) -> Report {
    let before = blog.status.as_ref().and_then(|status| find(&status.conditions, types::READY));
    let still_true =
        error.is_passing() && before.is_some_and(|ready| ready.observed_generation == id.generation);
    let (reason, message) = (error.reason(), error.to_string());
    let mut conditions = vec![condition(types::DEGRADED, true, reason, &message)];
    if !still_true {
        conditions.push(condition(types::READY, false, reason, &message));
        conditions.push(condition(types::PROGRESSING, true, reason, &message));
    }
    Report {
        settled: false,
        conditions: conditions.into_iter().map(|one| one.observed_generation(id.generation)).collect(),
        facts: None,
        generation: id.generation,
    }
}

/// The status to write, or nothing if it equals the one that is there. Transition times move only with the status.
#[must_use]
pub fn merged(blog: &FlaskBlog, report: &Report) -> Option<FlaskBlogStatus> {
    let before = blog.status.clone().unwrap_or_default();
    let mut next = before.clone();
    next.observed_generation = report.generation;
    for condition in &report.conditions {
        let _ = set(&mut next.conditions, condition.clone());
    }
    if let Some(facts) = &report.facts {
        next.replicas = facts.replicas;
        next.ready_replicas = facts.ready_replicas;
        next.selector = Some(facts.selector.clone());
        next.url.clone_from(&facts.url);
        next.node_port = facts.node_port;
        next.image = Some(facts.image.clone());
        next.schema_version = facts.schema_version;
    }
    (blog.status.is_none() || next != before).then_some(next)
}

/// How the writing of a status ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    /// It is as it should be.
    Done,
    /// The blog has changed meanwhile: the status speaks of what no longer is, and was not written.
    Overtaken,
}

/// Writes the status, if there is one to write (client required). A blog that is gone needs none.
///
/// # Errors
/// [`Error::Write`] when the API server refuses it or doesn't answer.
pub async fn publish(
    ctx: &Context,
    blog: &FlaskBlog,
    id: &Identity,
    next: Option<&FlaskBlogStatus>,
) -> Result<Published, Error> {
    let Some(next) = next else { return Ok(Published::Done) };
    let api: Api<FlaskBlog> = Api::namespaced(ctx.client.0.clone(), &id.namespace);
    ctx.metrics.api_writes.get_or_create(&("status", "FlaskBlog".to_owned()).into()).inc();
    // The version makes the write fail with a conflict if the blog has changed meanwhile, or another one has taken its
    // name.
    let patch =
        json!({"metadata": {"resourceVersion": blog.metadata.resource_version}, "status": with_nulls(next)});
    match api.patch_status(&id.name, &PatchParams::default(), &Patch::Merge(patch)).await {
        Ok(_) => Ok(Published::Done),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(Published::Done),
        Err(kube::Error::Api(status)) if status.is_conflict() => Ok(Published::Overtaken),
        Err(source) => Err(Error::Write {
            verb: "write the status of",
            kind: "FlaskBlog".into(),
            name: id.name.clone(),
            source: Box::new(source),
        }),
    }
}

/// A merge patch keeps what it doesn't name, so what is unset has to be named.
fn with_nulls(status: &FlaskBlogStatus) -> Value {
    let mut value = json!(status);
    for optional in ["selector", "url", "nodePort", "image", "schemaVersion"] {
        if value.get(optional).is_none() {
            value[optional] = Value::Null;
        }
    }
    value
}

#[cfg(test)]
mod tests;
