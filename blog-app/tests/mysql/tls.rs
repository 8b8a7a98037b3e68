//! TLS of connections, with the certificates that MySQL creates at its first start.

use std::process::{Command, Output};

use crate::backend::{Account, TestDatabase};
use crate::program::{Program, eventually, run};

const ANOTHER_CA: &str = include_str!("another-ca.pem");

/// The certificate of the test server's CA.
fn servers_ca() -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../dev/mysql-test.sh");
    let output = Command::new(script).arg("ca").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

struct Settings {
    _database: TestDatabase,
    _account: Account,
    directory: tempfile::TempDir,
    all: Vec<(&'static str, String)>,
}

impl Settings {
    async fn new() -> Self {
        let database = TestDatabase::create().await;
        let account = Account::create(&database, "pw").await;
        let directory = tempfile::tempdir().unwrap();
        let mut all = account.settings(&database, directory.path(), "pw");
        all.push(("BLOG_MIGRATE_TIMEOUT", "1s".to_owned()));
        Self { _database: database, _account: account, directory, all }
    }

    fn trust(&mut self, certificates: &str) {
        let file = self.directory.path().join("ca");
        std::fs::write(&file, certificates).unwrap();
        self.set("BLOG_DATABASE_CA_FILE", file.to_str().unwrap());
    }

    fn set(&mut self, name: &'static str, value: &str) {
        self.all.retain(|(set, _)| *set != name);
        self.all.push((name, value.to_owned()));
    }

    fn borrowed(&self) -> Vec<(&str, &str)> {
        self.all.iter().map(|(name, value)| (*name, value.as_str())).collect()
    }

    fn run(&self, command: &str) -> (bool, String) {
        let Output { status, stdout, stderr } = run(&[command], &self.borrowed());
        (status.success(), String::from_utf8([stdout, stderr].concat()).unwrap())
    }
}

#[tokio::test]
async fn the_right_certificates_are_believed_and_others_are_refused_with_the_cause() {
    let mut settings = Settings::new().await;
    for mode in ["Disabled", "Preferred", "Required"] {
        settings.set("BLOG_DATABASE_TLS", mode);
        let (ok, text) = settings.run("migrate");
        assert!(ok, "{mode}: {text}");
    }
    settings.set("BLOG_DATABASE_TLS", "VerifyCa");
    // In either order: a CA is renewed with an overlap.
    let ours = servers_ca();
    for trusted in [ours.clone(), format!("{ANOTHER_CA}{ours}"), format!("{ours}{ANOTHER_CA}")] {
        settings.trust(&trusted);
        for command in ["migrate", "check-config"] {
            let (ok, text) = settings.run(command);
            assert!(ok, "{command}: {text}");
        }
    }
    assert!(settings.run("check-config").1.contains(", TLS VerifyCa by /"));
    settings.trust(ANOTHER_CA);
    for command in ["migrate", "check-config"] {
        let (ok, text) = settings.run(command);
        let cause = "the server's certificate is refused: none of the certificates in BLOG_DATABASE_CA_FILE";
        assert!(!ok && text.contains(cause), "{command}: {text}");
    }
}

/// The server's own certificate names no host.
#[tokio::test]
async fn a_certificate_for_another_host_is_refused_where_names_are_checked() {
    let mut settings = Settings::new().await;
    settings.trust(&servers_ca());
    settings.set("BLOG_DATABASE_TLS", "VerifyIdentity");
    let (ok, text) = settings.run("migrate");
    assert!(!ok && text.contains("it is for another host than the one in the settings"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_of_certificates_is_taken_up_without_a_restart() {
    let mut settings = Settings::new().await;
    assert!(settings.run("migrate").0);
    settings.set("BLOG_DATABASE_TLS", "VerifyCa");
    settings.trust(ANOTHER_CA);
    let program = Program::start(&["serve"], &settings.borrowed());
    let (status, reason) = program.readiness();
    assert!(status == 503 && reason.contains("the server's certificate is refused"), "{reason}");
    settings.trust(&servers_ca());
    eventually("it is ready", || (program.readiness().0 == 200).then_some(()));
}
