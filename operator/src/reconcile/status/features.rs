//! Conditions that exist only while their feature is in use.

use flaskblog_api::{
    Child, OwnedKind,
    conditions::{self as types, reasons},
};
use k8s_controller::conditions::DesiredCondition;

use super::{Reconciled, condition, recommended::resources_recommended};
use crate::{
    model::plan::HibernationPhase,
    reconcile::actions::{certificates::not_after, volume_expansion::VolumeExpansion},
};

/// The conditions of the features in use. The others are removed from the status.
pub(super) fn of_features(done: &Reconciled) -> Vec<DesiredCondition> {
    [
        suspended(done),
        hibernated(done),
        storage_resizing(&done.growth),
        monitored(done),
        resources_recommended(done),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn suspended(done: &Reconciled) -> Option<DesiredCondition> {
    let differing = done.suspended.as_ref()?;
    let secret = done.observed.children.get(&Child::DatabaseCertificates);
    let until = secret
        .and_then(|secret| not_after(&secret.metadata))
        .map_or_else(String::new, |at| format!("; MySQL's certificate is good until {}", at.strftime("%F")));
    Some(condition(types::SUSPENDED, true, reasons::SUSPENDED, suspended_words(differing) + &until))
}

/// The pending changes of a suspended blog.
pub(super) fn suspended_words(differing: &[String]) -> String {
    match differing {
        [] => "nothing is changed while spec.suspend is true; everything is as the spec says".into(),
        some => format!("nothing is changed while spec.suspend is true; left undone: {}", some.join("; ")),
    }
}

fn hibernated(done: &Reconciled) -> Option<DesiredCondition> {
    let database_ended = done.observed.database_pod.is_none();
    Some(match done.plan.stage {
        HibernationPhase::Running => return None,
        HibernationPhase::Stopped if database_ended => condition(
            types::HIBERNATED,
            true,
            reasons::HIBERNATED,
            "replicas and database have ended, the data is kept; spec.hibernate: false wakes the blog",
        ),
        HibernationPhase::Stopped => {
            condition(types::HIBERNATED, false, reasons::HIBERNATING, "MySQL is ending")
        }
        HibernationPhase::Stopping => {
            condition(types::HIBERNATED, false, reasons::HIBERNATING, "the replicas are ending, then MySQL")
        }
        HibernationPhase::Starting => {
            condition(types::HIBERNATED, false, reasons::RESUMING, "MySQL is starting, then the replicas")
        }
    })
}

fn storage_resizing(growth: &VolumeExpansion) -> Option<DesiredCondition> {
    Some(match growth {
        VolumeExpansion::None => return None,
        VolumeExpansion::UnderWay(words) | VolumeExpansion::Requested(words) => {
            condition(types::STORAGE_RESIZING, true, reasons::RESIZING, words)
        }
        VolumeExpansion::Refused(words) => {
            condition(types::STORAGE_RESIZING, false, reasons::EXPANSION_REFUSED, words)
        }
    })
}

/// Whether the requested monitoring objects exist. Readiness doesn't depend on it.
fn monitored(done: &Reconciled) -> Option<DesiredCondition> {
    let (plan, missing) = (&done.plan.monitoring.wanted, &done.plan.monitoring.missing);
    if !missing.is_empty() {
        let message = missing_words(missing);
        return Some(condition(types::MONITORED, false, reasons::MONITORING_UNAVAILABLE, message));
    }
    let roles = [
        (Child::Dashboard, plan.dashboard),
        (Child::Monitor, plan.service_monitor),
        (Child::Alerts, plan.prometheus_rule),
    ];
    let wanted: Vec<Child> = roles.into_iter().filter(|(_, wanted)| *wanted).map(|(role, _)| role).collect();
    if wanted.is_empty() {
        return None;
    }
    let kinds = |there: bool| -> Vec<String> {
        let of = wanted.iter().filter(|role| done.applied.get(**role).is_some() == there);
        of.map(|role| role.kind().api_resource().kind).collect()
    };
    if done.suspended.is_some() && !kinds(false).is_empty() {
        let message = format!("not made while spec.suspend is true: {}", kinds(false).join(", "));
        return Some(condition(types::MONITORED, false, reasons::SUSPENDED, message));
    }
    // A hibernated blog has no alerts.
    let message =
        format!("made: {}", if kinds(true).is_empty() { "nothing".into() } else { kinds(true).join(", ") });
    Some(condition(types::MONITORED, true, reasons::MONITORED, message))
}

fn missing_words(missing: &[OwnedKind]) -> String {
    let definitions = format!("CustomResourceDefinitions {}", named(missing, definition));
    without_kinds(missing, "the Prometheus operator", &definitions, "the field from spec.monitoring")
}

/// The message for missing kinds, with their source and the remedy.
pub(super) fn without_kinds(missing: &[OwnedKind], whole: &str, parts: &str, field: &str) -> String {
    format!(
        "this cluster doesn't know {}, so none was made; the blog itself is unharmed: install {whole}, or its {parts}, and it \
         is made within a minute or two; or remove {field}",
        named(missing, |kind| kind.api_resource().kind)
    )
}

/// The name of the kind's CustomResourceDefinition.
pub(super) fn definition(kind: OwnedKind) -> String {
    let resource = kind.api_resource();
    format!("{}.{}", resource.plural, resource.group)
}

fn named(kinds: &[OwnedKind], name: impl Fn(OwnedKind) -> String) -> String {
    kinds.iter().map(|kind| name(*kind)).collect::<Vec<_>>().join(" and ")
}
