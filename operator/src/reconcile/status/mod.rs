//! Step 5: the status. It is computed without a client, and written on every path, errors included, only if it differs.

mod failures;
mod features;
mod ready;
mod recommended;
mod workloads;

use flaskblog_api::{
    FlaskBlog, FlaskBlogStatus, StorageStatus,
    children::{Component, MANAGER, selector_text},
    conditions::{self as types, reasons},
};
use k8s_controller::conditions::{ConditionStatus, DesiredCondition, find, set};
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};

use self::{
    failures::{Failure, database_version, failure, schema_version},
    features::of_features,
    ready::ready,
    workloads::{App, Database, DatabaseState, url},
};
use crate::{
    cache::contests::Contested,
    context::Context,
    model::{
        advice,
        blog_meta::BlogMeta,
        error::Error,
        objects::{Applied, Objects},
        observed::{Observed, claim_capacity, claim_request},
        plan::{HibernationPhase, Plan},
        refusals::Refusals,
        settings::Settings,
    },
    reconcile::actions::volume_expansion::VolumeExpansion,
};

/// All results of a reconcile, from which status and Events are computed.
#[derive(Debug)]
pub struct Reconciled {
    /// The observed state.
    pub observed: Observed,
    /// The plan.
    pub plan: Plan,
    /// The objects after the apply.
    pub applied: Objects<Applied>,
    /// State of the volume's expansion.
    pub growth: VolumeExpansion,
    /// Restarts that wait for approval, one line each.
    pub held: Vec<String>,
    /// Objects that could not be applied.
    pub refusals: Refusals,
    /// Objects that another manager keeps reverting.
    pub contested: Contested,
    /// Pending changes of a suspended blog, one line per object.
    pub suspended: Option<Vec<String>>,
}

/// The reported state of one reconcile. Conditions that it omits stay.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Whether the blog matches its spec and nothing is in progress.
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
    database_version: Option<String>,
    storage: Option<StorageStatus>,
    pending: Vec<String>,
}

/// Computes the report (no client required).
#[must_use]
pub fn report(
    blog: &FlaskBlog,
    id: &BlogMeta,
    outcome: Result<&Reconciled, &Error>,
    settings: &Settings,
) -> Report {
    match outcome {
        Ok(done) => report_of_state(blog, id, done, settings),
        Err(error) => report_of_error(blog, id, error),
    }
}

fn report_of_state(blog: &FlaskBlog, id: &BlogMeta, done: &Reconciled, settings: &Settings) -> Report {
    let app = App::of(&done.applied, done.plan.app.replicas);
    let database = Database::of(done, &app);
    let problem = failure(id, &done.observed);
    let before = blog.status.as_ref();
    let schema = schema_version(&done.observed).or_else(|| before.and_then(|status| status.schema_version));
    let ready = ready(done, &app, &database, problem.as_ref());
    let settled = is_settled(done, &ready, problem.as_ref());
    let mut conditions = vec![
        progressing(settled, &ready),
        degraded(done, problem.as_ref()),
        database_ready(&database),
        schema_ready(&app, schema, problem.as_ref()),
        app_available(&app),
        ready,
    ];
    override_by_refusals(&mut conditions, id, &done.refusals);
    conditions.extend(of_features(done));
    let (url, node_port) = url(done, id, settings);
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
            database_version: database_version(&done.observed)
                .or_else(|| before.and_then(|status| status.database_version.clone())),
            storage: storage(&done.observed, before),
            pending: done.held.clone(),
        }),
        generation: id.generation,
    }
}

/// The volume as its PVC reports it. A PVC that wasn't read hasn't changed.
fn storage(observed: &Observed, before: Option<&FlaskBlogStatus>) -> Option<StorageStatus> {
    if !observed.claim_was_read {
        return before.and_then(|status| status.storage.clone());
    }
    let claim = observed.data_claim.as_ref()?;
    Some(StorageStatus { requested: claim_request(claim)?, capacity: claim_capacity(claim) })
}

/// Overrides Ready after a refusal.
///
/// The spec isn't in effect then, however well the replicas serve.
fn override_by_refusals(conditions: &mut Vec<DesiredCondition>, id: &BlogMeta, refusals: &Refusals) {
    let Some(first) = refusals.first() else { return };
    let message = advice::messages(id, refusals.iter());
    conditions
        .retain(|one| ![types::READY, types::PROGRESSING, types::DEGRADED].contains(&one.type_.as_str()));
    conditions.extend(
        [(types::READY, false), (types::PROGRESSING, true), (types::DEGRADED, true)]
            .map(|(type_, status)| condition(type_, status, first.reason(), &message)),
    );
}

/// Whether every pending change triggers a watch event.
fn is_settled(done: &Reconciled, ready: &DesiredCondition, problem: Option<&Failure>) -> bool {
    let calm = match done.plan.stage {
        HibernationPhase::Running => {
            ready.status == ConditionStatus::True || !done.held.is_empty() || done.suspended.is_some()
        }
        HibernationPhase::Stopped => done.observed.database_pod.is_none(),
        HibernationPhase::Stopping | HibernationPhase::Starting => false,
    };
    calm && problem.is_none()
        && done.contested.lines.is_empty()
        && !matches!(done.growth, VolumeExpansion::UnderWay(_) | VolumeExpansion::Requested(_))
}

fn condition(type_: &str, status: bool, reason: &str, message: impl Into<String>) -> DesiredCondition {
    DesiredCondition::new(type_, ConditionStatus::from(status), reason, message)
}

fn progressing(settled: bool, ready: &DesiredCondition) -> DesiredCondition {
    if settled {
        return condition(types::PROGRESSING, false, reasons::RECONCILED, "nothing is left to do");
    }
    condition(types::PROGRESSING, true, reasons::ROLLING_OUT, ready.message.clone())
}

fn degraded(done: &Reconciled, problem: Option<&Failure>) -> DesiredCondition {
    if let (None, VolumeExpansion::Refused(words)) = (problem, &done.growth) {
        return condition(types::DEGRADED, true, reasons::EXPANSION_REFUSED, words);
    }
    if let (None, [first, ..]) = (problem, &done.contested.lines[..]) {
        return condition(types::DEGRADED, true, reasons::CONTESTED, first);
    }
    match problem {
        Some(problem) => condition(types::DEGRADED, true, problem.reason, &problem.message),
        None => condition(types::DEGRADED, false, reasons::HEALTHY, "nothing is wrong"),
    }
}

fn database_ready(database: &Database) -> DesiredCondition {
    let status = match database.state {
        DatabaseState::Ready => ConditionStatus::True,
        DatabaseState::Unknown => ConditionStatus::Unknown,
        DatabaseState::Away => ConditionStatus::False,
    };
    DesiredCondition::new(types::DATABASE_READY, status, database.reason, database.message.clone())
}

/// Whether the schema is ready. A ready replica of the current template proves it.
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

/// The report after an error.
///
/// An unreachable API server keeps Ready, since this generation may still be ready. Any other error means that the blog differs
/// from its spec.
#[must_use]
pub fn report_of_error(blog: &FlaskBlog, id: &BlogMeta, error: &Error) -> Report {
    let before = blog.status.as_ref().and_then(|status| find(&status.conditions, types::READY));
    let still_true =
        error.is_passing() && before.is_some_and(|ready| ready.observed_generation == id.generation);
    let (reason, message) = (error.reason(), advice::message(id, error));
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

/// The status to write, or `None` if it is unchanged. Transition times change only with a condition's status.
#[must_use]
pub fn merged(blog: &FlaskBlog, report: &Report) -> Option<FlaskBlogStatus> {
    let before = blog.status.clone().unwrap_or_default();
    let mut next = before.clone();
    next.observed_generation = report.generation;
    for condition in &report.conditions {
        let _ = set(&mut next.conditions, condition.clone());
    }
    let said = |type_: &str| report.conditions.iter().any(|one| one.type_ == type_);
    if report.facts.is_some() {
        next.conditions.retain(|one| !types::OF_FEATURES.contains(&one.type_.as_str()) || said(&one.type_));
    }
    if let Some(facts) = &report.facts {
        next.replicas = facts.replicas;
        next.ready_replicas = facts.ready_replicas;
        next.selector = Some(facts.selector.clone());
        next.url.clone_from(&facts.url);
        next.node_port = facts.node_port;
        next.image = Some(facts.image.clone());
        next.schema_version = facts.schema_version;
        next.database_version.clone_from(&facts.database_version);
        next.storage.clone_from(&facts.storage);
        next.pending.clone_from(&facts.pending);
    }
    (blog.status.is_none() || next != before).then_some(next)
}

/// The result of a status write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    /// The status is up to date.
    Done,
    /// The blog has changed meanwhile, so the stale status wasn't written.
    Overtaken,
}

/// Writes a changed status (client required). A deleted blog needs none.
///
/// # Errors
/// [`Error::Write`] when the API server refuses it or doesn't answer.
pub async fn publish(
    ctx: &Context,
    blog: &FlaskBlog,
    id: &BlogMeta,
    next: Option<&FlaskBlogStatus>,
) -> Result<Published, Error> {
    let Some(next) = next else { return Ok(Published::Done) };
    let api: Api<FlaskBlog> = Api::namespaced(ctx.client.0.clone(), &id.namespace);
    ctx.metrics.api_writes.get_or_create(&("status", "FlaskBlog".to_owned()).into()).inc();
    // With the resourceVersion the write fails with a conflict if the blog has changed meanwhile, or if another blog has
    // taken its name.
    let patch =
        json!({"metadata": {"resourceVersion": blog.metadata.resource_version}, "status": with_nulls(next)});
    let params = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
    match api.patch_status(&id.name, &params, &Patch::Merge(patch)).await {
        Ok(after) => {
            ctx.status_writes.insert(blog, after);
            Ok(Published::Done)
        }
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

/// Names unset fields as null, since a merge patch keeps omitted ones.
fn with_nulls(status: &FlaskBlogStatus) -> Value {
    let mut value = json!(status);
    for optional in ["selector", "url", "nodePort", "image", "schemaVersion", "databaseVersion", "storage"] {
        if value.get(optional).is_none() {
            value[optional] = Value::Null;
        }
    }
    if status.storage.as_ref().is_some_and(|storage| storage.capacity.is_none()) {
        value["storage"]["capacity"] = Value::Null;
    }
    value
}

#[cfg(test)]
mod tests;
