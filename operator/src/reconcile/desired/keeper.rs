//! The second container of MySQL's pod: what only MySQL's administrator can set, and root logs in nowhere else.

use flaskblog_api::Child;
use k8s_openapi::api::core::v1::{Container, ExecAction, Probe, Volume};

use super::{
    database_statefulset::{CERTIFICATE_VOLUME, CERTIFICATES},
    pods::{read_only, resources, restricted, secret_volume},
};
use crate::model::{
    containers::KEEPER,
    plan::{ManagedPlan, Plan},
};

/// Its program. MySQL's own image runs it, so another image of the blog changes nothing here, and no second one is pulled.
const SCRIPT: &str = include_str!("keeper.sh");
/// A folder as a whole: only then a kubelet brings changed files to a container that runs.
const CREDENTIALS: &str = "/etc/mysql-keeper";
const VOLUME: &str = "keeper";
const KEYS: [&str; 6] =
    ["root-password", "previous-root-password", "username", "password", "previous-password", "database"];
/// Prints what failed last, for the kubelet's Event.
pub const KEEPER_PROBE: [&str; 3] = ["bash", "-c", "! cat /dev/shm/keeper-failure 2>/dev/null"];

/// Without its comments: another word in one of those must not restart every MySQL.
fn program() -> String {
    let is_code = |line: &&str| !line.is_empty() && !line.trim_start().starts_with('#');
    SCRIPT.lines().filter(is_code).flat_map(|line| [line, "\n"]).collect()
}

/// Not ready while it fails, which the status names; the Service leads to MySQL all the same. Without other probes: it never
/// hangs, as each call of its has a limit. It takes 3 MiB, and 12 while MySQL's client runs.
pub(super) fn container(database: &ManagedPlan) -> Container {
    Container {
        name: KEEPER.into(),
        image: Some(database.spec.image.clone()),
        image_pull_policy: Some("IfNotPresent".into()),
        command: Some(vec!["bash".into(), "-c".into(), program()]),
        readiness_probe: Some(Probe {
            exec: Some(ExecAction { command: Some(KEEPER_PROBE.map(String::from).to_vec()) }),
            period_seconds: Some(10),
            timeout_seconds: Some(5),
            failure_threshold: Some(2),
            ..Probe::default()
        }),
        resources: Some(resources(None, &[("cpu", "5m"), ("memory", "16Mi")], &[("memory", "64Mi")])),
        security_context: Some(restricted()),
        volume_mounts: Some(vec![
            read_only(VOLUME, CREDENTIALS),
            // MySQL's own volume: what is new here is new there.
            read_only(CERTIFICATE_VOLUME, CERTIFICATES),
            read_only("run", "/var/run/mysqld"),
        ]),
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        ..Container::default()
    }
}

/// The passwords of root and of the account, and its names. Earlier passwords are there from the first rotation on only.
pub(super) fn volume(plan: &Plan) -> Volume {
    let secret = Child::DatabaseSecret.name(&plan.id.name);
    secret_volume(VOLUME, secret, &KEYS, Some(true))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn bash_understands_the_keepers_script() {
        let checked = Command::new("bash").args(["-n", "-c", &program()]).output().unwrap();
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    }

    /// `$$` and `$(NAME)` of a command are Kubernetes' own: they would reach bash as something else.
    #[test]
    fn kubernetes_changes_nothing_in_the_keepers_script() {
        let program = program();
        assert!(!program.contains("$$") && program.contains("keep_account() {"));
        for expression in program.split("$(").skip(1).filter_map(|rest| rest.split(')').next()) {
            let is_name = expression.chars().all(|one| one.is_ascii_alphanumeric() || one == '_');
            assert!(!is_name, "$({expression}) may be a variable of the container");
        }
    }
}
