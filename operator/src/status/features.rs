//! Conditions that are there only while their feature is in use.

use flaskblog_api::conditions::{self as types, reasons};
use k8s_controller::conditions::DesiredCondition;

use super::{Done, condition};
use crate::{storage::Growth, validate::Stage};

/// The conditions of the features in use; the others are taken out of the status.
pub(super) fn of_features(done: &Done) -> Vec<DesiredCondition> {
    [suspended(done), hibernated(done), storage_resizing(&done.growth)].into_iter().flatten().collect()
}

fn suspended(done: &Done) -> Option<DesiredCondition> {
    let differing = done.suspended.as_ref()?;
    Some(condition(types::SUSPENDED, true, reasons::SUSPENDED, suspended_words(differing)))
}

/// What a suspended blog would get if it weren't.
pub(super) fn suspended_words(differing: &[String]) -> String {
    match differing {
        [] => "nothing is changed while spec.suspend is true; everything is as the spec says".into(),
        some => format!("nothing is changed while spec.suspend is true; left undone: {}", some.join("; ")),
    }
}

fn hibernated(done: &Done) -> Option<DesiredCondition> {
    let database_ended = done.observed.database_pod.is_none();
    Some(match done.plan.stage {
        Stage::Awake => return None,
        Stage::Asleep if database_ended => condition(
            types::HIBERNATED,
            true,
            reasons::HIBERNATED,
            "replicas and database have ended, the data is kept; spec.hibernate: false wakes the blog",
        ),
        Stage::Asleep => condition(types::HIBERNATED, false, reasons::HIBERNATING, "MySQL is ending"),
        Stage::FallingAsleep => {
            condition(types::HIBERNATED, false, reasons::HIBERNATING, "the replicas are ending, then MySQL")
        }
        Stage::Waking => {
            condition(types::HIBERNATED, false, reasons::WAKING, "MySQL is starting, then the replicas")
        }
    })
}

fn storage_resizing(growth: &Growth) -> Option<DesiredCondition> {
    Some(match growth {
        Growth::None => return None,
        Growth::UnderWay(words) | Growth::Requested(words) => {
            condition(types::STORAGE_RESIZING, true, reasons::RESIZING, words)
        }
        Growth::Refused(words) => {
            condition(types::STORAGE_RESIZING, false, reasons::EXPANSION_REFUSED, words)
        }
    })
}
