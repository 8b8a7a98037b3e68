//! The second container of MySQL's pod. It applies settings that need root, which can log in only inside the pod.

use flaskblog_api::Child;
use k8s_openapi::api::core::v1::{Container, ExecAction, Probe, Volume};

use super::{
    database_statefulset::{CERTIFICATE_VOLUME, CERTIFICATES},
    pods::{read_only, resources, restricted, secret_volume},
};
use crate::model::{
    containers::CREDENTIAL_SYNC,
    plan::{ManagedPlan, Plan},
};

/// Its script. MySQL's own image runs it, so a new image of the blog doesn't restart MySQL and no second image is pulled.
const SCRIPT: &str = include_str!("credential_sync.sh");
/// Directory of the credentials, mounted whole: the kubelet updates no single-file mount.
const CREDENTIALS: &str = "/etc/mysql-credential-sync";
const VOLUME: &str = "credential-sync";
const KEYS: [&str; 6] =
    ["root-password", "previous-root-password", "username", "password", "previous-password", "database"];
/// Prints the last failure, for the kubelet's Event.
pub const CREDENTIAL_SYNC_PROBE: [&str; 3] =
    ["bash", "-c", "! cat /dev/shm/credential-sync-failure 2>/dev/null"];

/// The script without its comments.
///
/// So editing a comment doesn't restart every MySQL.
fn program() -> String {
    let is_code = |line: &&str| !line.is_empty() && !line.trim_start().starts_with('#');
    SCRIPT.lines().filter(is_code).flat_map(|line| [line, "\n"]).collect()
}

/// The credential-sync container, which isn't ready while it fails.
///
/// The Service publishes MySQL's address all the same.
///
/// It needs no other probe, since each of its calls has a timeout. It takes 3 MiB, and 12 MiB while MySQL's client runs.
pub(super) fn container(database: &ManagedPlan) -> Container {
    Container {
        name: CREDENTIAL_SYNC.into(),
        image: Some(database.spec.image.clone()),
        image_pull_policy: Some("IfNotPresent".into()),
        command: Some(vec!["bash".into(), "-c".into(), program()]),
        readiness_probe: Some(Probe {
            exec: Some(ExecAction { command: Some(CREDENTIAL_SYNC_PROBE.map(String::from).to_vec()) }),
            period_seconds: Some(10),
            timeout_seconds: Some(5),
            failure_threshold: Some(2),
            ..Probe::default()
        }),
        resources: Some(resources(None, &[("cpu", "5m"), ("memory", "16Mi")], &[("memory", "64Mi")])),
        security_context: Some(restricted()),
        volume_mounts: Some(vec![
            read_only(VOLUME, CREDENTIALS),
            // MySQL's own volume, so both see the same update.
            read_only(CERTIFICATE_VOLUME, CERTIFICATES),
            read_only("run", "/var/run/mysqld"),
        ]),
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        ..Container::default()
    }
}

/// The passwords of root and the account, and the account's names.
///
/// Earlier passwords exist only from the first rotation on.
pub(super) fn volume(plan: &Plan) -> Volume {
    let secret = Child::DatabaseSecret.name(&plan.id.name);
    secret_volume(VOLUME, secret, &KEYS, Some(true))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn bash_parses_the_credential_sync_script() {
        let checked = Command::new("bash").args(["-n", "-c", &program()]).output().unwrap();
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    }

    /// Kubernetes expands `$$` and `$(NAME)` in a command before bash runs it.
    #[test]
    fn kubernetes_expands_nothing_in_the_sync_script() {
        let program = program();
        assert!(!program.contains("$$") && program.contains("keep_account() {"));
        for expression in program.split("$(").skip(1).filter_map(|rest| rest.split(')').next()) {
            let is_name = expression.chars().all(|one| one.is_ascii_alphanumeric() || one == '_');
            assert!(!is_name, "$({expression}) may be a variable of the container");
        }
    }
}
