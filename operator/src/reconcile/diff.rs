//! The changes that an apply would make (no client required).
//!
//! They serve `operator plan`, suspended blogs, and restarts that wait for approval.

use std::{collections::BTreeSet, fmt};

use flaskblog_api::{
    Child, OwnedKind,
    children::{APPROVE, TEMPLATE_HASH},
};
use kube::{ResourceExt, api::DynamicObject};
use serde_json::{Value, json};

use crate::model::{
    hash::hash_of,
    objects::{Desired, Objects},
    observed::Observed,
    plan::{Approval, HibernationPhase, Plan},
    semantic_eq::{is_subset, matches_desired, shares_data},
};

/// The effect of a change on the blog's users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A new object, while running pods are untouched.
    Create,
    /// A change in place without a restart.
    Update,
    /// New replicas replace the old ones one by one. No request fails.
    RollingRestart,
    /// MySQL restarts.
    ///
    /// For some seconds pages are served from the cache, and writes fail with a request to retry.
    DatabaseRestart,
    /// A container of another manager loses MySQL's volume. The edit that added it restarts MySQL, approved or not.
    RemoveContainer,
    /// The StatefulSet is recreated around its running pod. Nothing is restarted.
    Recreate,
    /// The object is deleted.
    Delete,
}

impl fmt::Display for Effect {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Create => "create",
            Self::Update => "update in place",
            Self::RollingRestart => "rolling restart of the replicas, no request fails",
            Self::DatabaseRestart => "restart of MySQL, writes have to wait for some seconds",
            Self::RemoveContainer => "remove another program's container from MySQL's volume, MySQL restarts",
            Self::Recreate => "made anew around its running pod",
            Self::Delete => "delete",
        })
    }
}

/// One object that differs from the spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectDiff {
    /// Its role.
    pub role: Child,
    /// Its name.
    pub name: String,
    /// The effect of applying it.
    pub effect: Effect,
}

impl fmt::Display for ObjectDiff {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}: {}", self.role.kind().api_resource().kind, self.name, self.effect)
    }
}

/// Every differing object in apply order, then the deletions.
#[must_use]
pub fn pending(plan: &Plan, wanted: &Objects<Desired>, observed: &Observed) -> Vec<ObjectDiff> {
    let one = |role: Child, effect| ObjectDiff { role, name: role.name(&plan.id.name), effect };
    let written =
        wanted.iter().filter(|(role, _)| !plan.refused.contains_key(role)).filter_map(|(role, object)| {
            effect(role, object, observed.children.get(&role).map(AsRef::as_ref))
                .map(|effect| one(role, effect))
        });
    let gone = observed
        .children
        .keys()
        .filter(|role| wanted.get(**role).is_none() && role.kind() != OwnedKind::Secret)
        .map(|role| one(*role, Effect::Delete));
    written.chain(gone).collect()
}

fn effect(role: Child, wanted: &DynamicObject, live: Option<&DynamicObject>) -> Option<Effect> {
    let Some(live) = live else { return Some(Effect::Create) };
    if matches_desired(wanted, live) && !shares_data(wanted, live) {
        return None;
    }
    Some(match role {
        Child::Database if shares_data(wanted, live) => Effect::RemoveContainer,
        Child::App if restarts(wanted, live) => Effect::RollingRestart,
        Child::Database if restarts(wanted, live) => Effect::DatabaseRestart,
        Child::Database if needs_recreation(wanted, live) => Effect::Recreate,
        _ => Effect::Update,
    })
}

/// Whether the pod template changes. The hash reveals removed fields.
fn restarts(wanted: &DynamicObject, live: &DynamicObject) -> bool {
    let hash = |object: &DynamicObject| object.annotations().get(TEMPLATE_HASH).cloned();
    let template = |object: &DynamicObject| object.data["spec"]["template"].clone();
    hash(live).is_some_and(|live| Some(live) != hash(wanted))
        || !is_subset(&template(live), &template(wanted))
}

/// Whether the volume's size in the StatefulSet's template differs.
///
/// It can't be changed in place (kubernetes/kubernetes#68737).
#[must_use]
pub fn needs_recreation(wanted: &DynamicObject, live: &DynamicObject) -> bool {
    let templates = |object: &DynamicObject| {
        object.data.pointer("/spec/volumeClaimTemplates/0/spec/resources").cloned().unwrap_or(Value::Null)
    };
    !is_subset(&templates(live), &templates(wanted))
}

/// Restarts that wait for approval.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockedRollouts {
    /// The objects that keep their state.
    pub roles: BTreeSet<Child>,
    /// The lines of the status, one per object.
    pub lines: Vec<String>,
}

/// The unapproved restarts under `rolloutPolicy: Manual`.
#[must_use]
pub fn held(plan: &Plan, wanted: &Objects<Desired>, pending: &[ObjectDiff]) -> BlockedRollouts {
    let Approval::Given(approved) = &plan.approval else { return BlockedRollouts::default() };
    // A hibernating blog has no users to disturb, and held objects couldn't be scaled to zero.
    if plan.stage != HibernationPhase::Running {
        return BlockedRollouts::default();
    }
    let restarts: Vec<&ObjectDiff> = pending
        .iter()
        .filter(|one| matches!(one.effect, Effect::RollingRestart | Effect::DatabaseRestart))
        .collect();
    let token = token(wanted, &restarts);
    if restarts.is_empty() || approved.as_ref() == Some(&token) {
        return BlockedRollouts::default();
    }
    let (blog, namespace) = (&plan.id.name, &plan.id.namespace);
    BlockedRollouts {
        roles: restarts.iter().map(|one| one.role).collect(),
        lines: restarts
            .iter()
            .map(|one| {
                format!("{one}; approve with: kubectl annotate fb {blog} -n {namespace} {APPROVE}={token} --overwrite")
            })
            .collect(),
    }
}

/// A token for exactly these restarts. The approval doesn't cover later changes.
fn token(wanted: &Objects<Desired>, restarts: &[&ObjectDiff]) -> String {
    let hashes: Vec<Value> = restarts
        .iter()
        .filter_map(|one| Some(json!([one.name, wanted.get(one.role)?.annotations().get(TEMPLATE_HASH)])))
        .collect();
    hash_of(&json!(hashes)).chars().take(8).collect()
}
