//! MySQL's resources as the vertical autoscaler's recommender reports them.

use flaskblog_api::{
    Child,
    conditions::{self as types, reasons},
};
use k8s_controller::conditions::DesiredCondition;
use serde_json::Value;

use super::{
    Reconciled, condition,
    features::{definition, without_kinds},
};
use crate::model::{containers::MYSQL_CONTAINER, semantic_eq::units};

/// The recommended and the requested resources of MySQL. Readiness doesn't depend on them.
pub(super) fn resources_recommended(done: &Reconciled) -> Option<DesiredCondition> {
    let database = done.plan.database.managed().filter(|managed| managed.spec.recommend_resources)?;
    let say = |status, reason, message| condition(types::RESOURCES_RECOMMENDED, status, reason, message);
    if database.recommender_missing {
        return Some(say(false, reasons::RECOMMENDER_UNAVAILABLE, missing_words()));
    }
    let Some(recommendation) = done.applied.get(Child::Recommendation) else {
        let message = "the VerticalPodAutoscaler isn't made while spec.suspend is true".into();
        return Some(say(false, reasons::SUSPENDED, message));
    };
    let set = done.applied.get(Child::Database);
    let container = set.and_then(|set| of_mysql(&set.data, "/spec/template/spec/containers", "name"));
    let requested = container.and_then(|container| container.pointer("/resources/requests"));
    let said =
        of_mysql(&recommendation.data, "/status/recommendation/containerRecommendations", "containerName");
    Some(match said.and_then(|said| said.get("target")) {
        Some(target) => say(
            true,
            reasons::RECOMMENDED,
            format!(
                "MySQL would do with {}; it requests {}",
                amounts(target),
                requested.map_or_else(|| "nothing".into(), amounts)
            ),
        ),
        None => say(false, reasons::RECOMMENDATION_PENDING, PENDING.into()),
    })
}

const PENDING: &str = "the recommender has said nothing yet: it needs some minutes of figures; if nothing comes, see whether \
    the vertical autoscaler's recommender and the metrics server run in this cluster";

/// The entry of MySQL's container in a list.
fn of_mysql<'a>(data: &'a Value, list: &str, name: &str) -> Option<&'a Value> {
    data.pointer(list)?.as_array()?.iter().find(|one| one[name] == MYSQL_CONTAINER)
}

/// Formats memory in whole Mi, since the recommender's bytes change often.
fn amounts(amounts: &Value) -> String {
    let amount = |name: &str| amounts.get(name).and_then(Value::as_str);
    let cpu = amount("cpu").map(|cpu| format!("{cpu} CPU"));
    let memory =
        amount("memory").and_then(units).map(|bytes| format!("{:.0}Mi memory", bytes / 1024f64.powi(2)));
    let both: Vec<String> = cpu.into_iter().chain(memory).collect();
    if both.is_empty() { "nothing".into() } else { both.join(" and ") }
}

fn missing_words() -> String {
    let kind = Child::Recommendation.kind();
    let parts = format!("CustomResourceDefinition {} and its recommender", definition(kind));
    without_kinds(&[kind], "the vertical autoscaler", &parts, "spec.database.managed.recommendResources")
}
