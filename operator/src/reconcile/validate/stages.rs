//! Hibernating and resuming in order (no client required): replicas stop before their database, and start after it.

use flaskblog_api::{Child, FlaskBlogSpec};
use serde_json::Value;

use crate::{
    model::{observed::Observed, plan::HibernationPhase},
    reconcile::observe::database_pod::mysql_serves,
};

/// The phase by the observed state. It isn't stored, so another operator instance can continue.
pub(super) fn stage(spec: &FlaskBlogSpec, observed: &Observed) -> HibernationPhase {
    let replicas_are_gone = observed.app_pods.is_empty() && wants_no_replica(observed);
    if spec.hibernate {
        return if replicas_are_gone { HibernationPhase::Stopped } else { HibernationPhase::Stopping };
    }
    let database_serves =
        spec.database.external.is_some() || database_serves(observed) || mysql_serves(observed);
    let stopped = observed.children.contains_key(&Child::App) && replicas_are_gone;
    if stopped && !database_serves && wants_replicas(spec) {
        HibernationPhase::Starting
    } else {
        HibernationPhase::Running
    }
}

fn database_serves(observed: &Observed) -> bool {
    let set = observed.children.get(&Child::Database);
    set.and_then(|set| set.data.pointer("/status/readyReplicas")?.as_i64()).is_some_and(|ready| ready > 0)
}

fn wants_replicas(spec: &FlaskBlogSpec) -> bool {
    spec.autoscaling.is_some() || spec.replicas > 0
}

/// Whether the Deployment is missing, or scaled to zero by its controller.
fn wants_no_replica(observed: &Observed) -> bool {
    let Some(deployment) = observed.children.get(&Child::App) else { return true };
    let at = |path: &str| deployment.data.pointer(path).and_then(Value::as_i64);
    at("/spec/replicas") == Some(0)
        && at("/status/replicas").unwrap_or(0) == 0
        // A Deployment that was created with zero replicas has never had any.
        && (at("/status/observedGeneration") == deployment.metadata.generation || deployment.metadata.generation == Some(1))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec(fields: Value) -> FlaskBlogSpec {
        serde_json::from_value(fields).unwrap()
    }

    fn observed(replicas: i64, running: i64, seen: i64, database_ready: i64) -> Observed {
        let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x", "generation": 2},
            "spec": {"replicas": replicas}, "status": {"replicas": running, "observedGeneration": seen}});
        let set = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "x-mysql"},
            "status": {"readyReplicas": database_ready}});
        let children = [(Child::App, deployment), (Child::Database, set)];
        let children = children
            .map(|(role, object)| (role, std::sync::Arc::new(serde_json::from_value(object).unwrap())));
        Observed { children: children.into(), ..Observed::default() }
    }

    #[test]
    fn the_database_ends_only_after_the_last_replica() {
        let sleep = spec(json!({"hibernate": true}));
        assert_eq!(stage(&sleep, &observed(2, 2, 2, 1)), HibernationPhase::Stopping);
        assert_eq!(stage(&sleep, &observed(0, 2, 1, 1)), HibernationPhase::Stopping, "not seen yet");
        assert_eq!(stage(&sleep, &observed(0, 1, 2, 1)), HibernationPhase::Stopping, "one is still ending");
        let mut pods = observed(0, 0, 2, 1);
        pods.app_pods.push(k8s_openapi::api::core::v1::Pod::default());
        assert_eq!(stage(&sleep, &pods), HibernationPhase::Stopping, "its pod still drains");
        assert_eq!(stage(&sleep, &observed(0, 0, 2, 1)), HibernationPhase::Stopped);
    }

    #[test]
    fn a_blog_that_is_made_asleep_never_starts_its_database() {
        let mut made = observed(0, 0, 0, 0);
        std::sync::Arc::make_mut(made.children.get_mut(&Child::App).unwrap()).metadata.generation = Some(1);
        assert_eq!(stage(&spec(json!({"hibernate": true})), &made), HibernationPhase::Stopped);
    }

    #[test]
    fn replicas_start_only_after_the_database() {
        let awake = spec(json!({}));
        assert_eq!(stage(&awake, &observed(0, 0, 2, 0)), HibernationPhase::Starting);
        assert_eq!(stage(&awake, &observed(0, 0, 2, 1)), HibernationPhase::Running);
        assert_eq!(stage(&awake, &observed(2, 0, 2, 0)), HibernationPhase::Running, "it was never asleep");
        assert_eq!(
            stage(&awake, &Observed::default()),
            HibernationPhase::Running,
            "a new blog starts with all at once"
        );
        assert_eq!(stage(&spec(json!({"replicas": 0})), &observed(0, 0, 2, 0)), HibernationPhase::Running);
    }
}
