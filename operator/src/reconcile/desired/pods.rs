//! Common parts of the blog's and MySQL's pods.

use std::collections::BTreeMap;

use flaskblog_api::{
    Child, ResourceList, Resources,
    children::{Component, selector},
};
use k8s_openapi::{
    api::core::v1::{
        Capabilities, EnvVar, EnvVarSource, KeyToPath, PodSecurityContext, PodSpec, ResourceRequirements,
        SeccompProfile, SecretKeySelector, SecretVolumeSource, SecurityContext, Volume, VolumeMount,
    },
    apimachinery::pkg::{
        api::resource::Quantity,
        apis::meta::v1::{LabelSelector, ObjectMeta},
    },
};

use crate::model::plan::Plan;

/// MySQL's port.
pub(super) const MYSQL_PORT: i32 = 3306;

/// Container settings of Pod Security `restricted`, with a read-only root file system.
pub(super) fn restricted() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".into()]), ..Capabilities::default() }),
        read_only_root_filesystem: Some(true),
        ..SecurityContext::default()
    }
}

/// Pod settings of Pod Security `restricted`, with user and group.
///
/// The pod has no token and no Service variables.
pub(super) fn restricted_pod(plan: &Plan, user: i64, termination_seconds: i64) -> PodSpec {
    PodSpec {
        service_account_name: Some(Child::ServiceAccount.name(&plan.id.name)),
        automount_service_account_token: Some(false),
        // Variables of every Service in the namespace could clash with the blog's own.
        enable_service_links: Some(false),
        termination_grace_period_seconds: Some(termination_seconds),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(user),
            run_as_group: Some(user),
            fs_group: Some(user),
            // Changing the owner of every file at every start takes minutes on a large volume.
            fs_group_change_policy: Some("OnRootMismatch".into()),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".into(),
                ..SeccompProfile::default()
            }),
            ..PodSecurityContext::default()
        }),
        ..PodSpec::default()
    }
}

/// The user's resources, or the given defaults as (request, limit) texts.
pub(super) fn resources(
    wanted: Option<&Resources>,
    requests: &[(&str, &str)],
    limits: &[(&str, &str)],
) -> ResourceRequirements {
    let defaults = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(name, amount)| ((*name).to_owned(), (*amount).to_owned())).collect()
    };
    let (requests, limits): (BTreeMap<String, String>, BTreeMap<String, String>) = match wanted {
        None => (defaults(requests), defaults(limits)),
        Some(wanted) => (
            wanted.requests.as_ref().map(ResourceList::amounts).unwrap_or_default(),
            wanted.limits.as_ref().map(ResourceList::amounts).unwrap_or_default(),
        ),
    };
    ResourceRequirements { requests: quantities(requests), limits: quantities(limits), ..Default::default() }
}

fn quantities(amounts: BTreeMap<String, String>) -> Option<BTreeMap<String, Quantity>> {
    (!amounts.is_empty())
        .then(|| amounts.into_iter().map(|(name, amount)| (name, Quantity(amount))).collect())
}

/// Escapes a user's text.
///
/// Kubernetes expands `$(NAME)` and `$$` in values and arguments.
pub(super) fn literal(text: &str) -> String {
    text.replace('$', "$$")
}

/// A variable with a plain value.
pub(super) fn env(name: &str, value: impl Into<String>) -> EnvVar {
    EnvVar { name: name.into(), value: Some(value.into()), ..EnvVar::default() }
}

/// A variable from a Secret.
///
/// Only names are passed this way. Passwords are mounted as files, since environments appear in crash dumps and `/proc`.
pub(super) fn env_from_secret(name: &str, secret: &str, key: &str) -> EnvVar {
    EnvVar {
        name: name.into(),
        value_from: Some(EnvVarSource {
            secret_key_ref: Some(SecretKeySelector { name: secret.into(), key: key.into(), optional: None }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    }
}

/// These keys of a Secret as files. An optional Secret, or any of its keys, may be missing.
pub(super) fn secret_volume(name: &str, secret: String, keys: &[&str], optional: Option<bool>) -> Volume {
    Volume {
        name: name.into(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret),
            default_mode: Some(0o440),
            items: Some(files(keys)),
            optional,
        }),
        ..Volume::default()
    }
}

/// Each key as a file of its name.
pub(super) fn files(keys: &[&str]) -> Vec<KeyToPath> {
    keys.iter().map(|key| KeyToPath { key: (*key).into(), path: (*key).into(), mode: None }).collect()
}

/// A whole volume for a container that only reads it.
pub(super) fn read_only(volume: &str, path: &str) -> VolumeMount {
    VolumeMount {
        name: volume.into(),
        mount_path: path.into(),
        read_only: Some(true),
        ..VolumeMount::default()
    }
}

/// The selector of a workload's pods.
pub(super) fn pod_selector(plan: &Plan, component: Component) -> LabelSelector {
    LabelSelector { match_labels: Some(selector(&plan.id.name, component)), ..LabelSelector::default() }
}

/// Metadata of a pod template: labels only, independent of the operator's version.
pub(super) fn template_metadata(plan: &Plan, component: Component) -> ObjectMeta {
    ObjectMeta {
        labels: Some(flaskblog_api::children::labels(&plan.id.name, component)),
        ..ObjectMeta::default()
    }
}
