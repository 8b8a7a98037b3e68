//! The condition Ready: whether every replica of the current spec serves and no other one is left.

use flaskblog_api::{
    Child,
    conditions::{self as types, reasons},
};
use k8s_controller::conditions::DesiredCondition;

use super::{
    Reconciled, condition,
    failures::Failure,
    features::suspended_words,
    workloads::{App, Database, waits_for_address},
};
use crate::model::plan::HibernationPhase;

pub(super) fn ready(
    done: &Reconciled,
    app: &App,
    database: &Database,
    problem: Option<&Failure>,
) -> DesiredCondition {
    if let Some(differing) = &done.suspended {
        let serves = app.complete && database.settled && database.is_usable() && differing.is_empty();
        return condition(types::READY, serves, reasons::SUSPENDED, suspended_words(differing));
    }
    if done.plan.stage != HibernationPhase::Running {
        return sleeping(done, problem);
    }
    if !done.held.is_empty() {
        let message = format!("the spec asks for restarts that wait for approval: {}", done.held.join("; "));
        return condition(types::READY, false, reasons::APPROVAL_PENDING, message);
    }
    let complete = app.complete && database.settled && database.is_usable();
    if app.wanted == 0 && complete {
        let message = "stopped as asked: spec.replicas is 0; the database runs on";
        return condition(types::READY, true, reasons::SCALED_TO_ZERO, message);
    }
    if let (true, Some(words)) = (complete, &done.contested.service) {
        return condition(types::READY, false, reasons::CONTESTED, words);
    }
    if complete {
        let mut message = format!("{} of {} replicas serve", app.ready, app.wanted);
        if waits_for_address(&done.applied) {
            let (service, namespace) = (Child::AppService.name(&done.plan.id.name), &done.plan.id.namespace);
            message += &format!(
                "; the load balancer has no address yet, and this names the cause: kubectl describe service {service} -n {namespace}"
            );
        }
        return condition(types::READY, true, reasons::READY, message);
    }
    let (reason, message) = under_way(app, database, problem);
    condition(types::READY, false, reason, message)
}

/// The pending step of a blog that is neither complete nor hibernated.
fn under_way(app: &App, database: &Database, problem: Option<&Failure>) -> (&'static str, String) {
    if let Some(problem) = problem {
        return (problem.reason, problem.message.clone());
    }
    if !database.is_usable() {
        return (database.reason, database.message.clone());
    }
    if !database.settled {
        return (reasons::ROLLING_OUT, "MySQL is about to be restarted with its new settings".into());
    }
    let (updated, wanted, all) = (app.updated_ready, app.wanted, app.ready);
    (reasons::ROLLING_OUT, format!("{updated} of {wanted} replicas of the current spec serve, {all} in all"))
}

fn sleeping(done: &Reconciled, problem: Option<&Failure>) -> DesiredCondition {
    let (reason, message) = match (done.plan.stage, problem) {
        (HibernationPhase::Starting, Some(problem)) => (problem.reason, problem.message.as_str()),
        (HibernationPhase::Starting, None) => (reasons::RESUMING, "MySQL is starting, then the replicas"),
        (HibernationPhase::Stopped, _) if done.observed.database_pod.is_none() => {
            (reasons::HIBERNATED, "asleep as asked: spec.hibernate is true; the data is kept")
        }
        _ => (reasons::HIBERNATING, "the replicas are ending, then MySQL"),
    };
    condition(types::READY, false, reason, message)
}
