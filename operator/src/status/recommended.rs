//! What the vertical autoscaler's recommender says of MySQL.

use flaskblog_api::{
    Child,
    conditions::{self as types, reasons},
};
use k8s_controller::conditions::DesiredCondition;
use kube::api::DynamicObject;
use serde_json::Value;

use super::{Done, condition, features::definition};
use crate::compare::units;

/// What MySQL would need, next to what it asks for. Readiness doesn't depend on it.
pub(super) fn resources_recommended(done: &Done) -> Option<DesiredCondition> {
    let database = done.plan.database.managed().filter(|managed| managed.spec.recommend_resources)?;
    let say = |status, reason, message| condition(types::RESOURCES_RECOMMENDED, status, reason, message);
    if database.recommender_missing {
        return Some(say(false, reasons::RECOMMENDER_UNAVAILABLE, missing_words()));
    }
    let Some(recommendation) = done.applied.get(Child::Recommendation) else {
        let message = "the VerticalPodAutoscaler isn't made while spec.suspend is true".into();
        return Some(say(false, reasons::SUSPENDED, message));
    };
    let requested = done.applied.get(Child::Database).and_then(|set| set.data.pointer(REQUESTS));
    Some(match target(recommendation) {
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

/// MySQL is the first container of its pod.
const REQUESTS: &str = "/spec/template/spec/containers/0/resources/requests";
const PENDING: &str = "the recommender has said nothing yet: it needs some minutes of figures; if nothing comes, see whether \
    the vertical autoscaler's recommender and the metrics server run in this cluster";

/// The only container that is recommended anything is MySQL.
fn target(recommendation: &DynamicObject) -> Option<&Value> {
    recommendation.data.pointer("/status/recommendation/containerRecommendations/0/target")
}

/// Memory in whole Mi: the recommender counts bytes, and a few of them are no news.
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
    format!(
        "this cluster doesn't know {}, so none was made; the blog itself is unharmed: install the vertical autoscaler, or its \
         CustomResourceDefinition {} and its recommender, and it is made within a minute or two; or remove \
         spec.database.managed.recommendResources",
        kind.api_resource().kind,
        definition(kind)
    )
}
