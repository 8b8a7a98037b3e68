//! MySQL's pod without Kubernetes: two containers of the same image that share a network, a directory of sockets and the
//! files that a kubelet mounts.

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

const IMAGE: &str = "mysql:9.7";
const SCRIPT: &str = include_str!("../../src/reconcile/desired/credential_sync.sh");
/// The probe of the pod template.
const PROBE: [&str; 3] = operator::reconcile::desired::CREDENTIAL_SYNC_PROBE;
/// Part of every password in these tests, and of nothing else.
pub const MARK: &str = "s3cret";
/// The root password of the new server.
pub const FIRST: &str = "first-s3cret";

/// The first password of the account.
pub const ACCOUNT: &str = "account-s3cret";

/// Both containers, which are removed with this value.
pub struct Pod {
    name: String,
    files: tempfile::TempDir,
}

impl Pod {
    /// Starts the server, without a credential-sync container yet.
    pub fn new(name: &str) -> Self {
        let files = tempfile::tempdir().unwrap();
        for folder in ["", "credentials", "tls"] {
            let path = files.path().join(folder);
            fs::create_dir_all(&path).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let pod = Self { name: format!("flaskblog-test-{name}-{}", std::process::id()), files };
        for (key, value) in [("username", "flaskr"), ("database", "flask_r"), ("password", ACCOUNT)] {
            pod.write(&format!("credentials/{key}"), value);
        }
        let run = format!("{}:/var/run/mysqld", pod.name);
        let options =
            ["--network", "none", "--volume", &run, "--tmpfs", "/var/lib/mysql:uid=999,gid=999,mode=0700"];
        let variables = [
            "MYSQL_ROOT_PASSWORD",
            "MYSQL_PASSWORD",
            "MYSQL_USER=flaskr",
            "MYSQL_DATABASE=flask_r",
            "MYSQL_ROOT_HOST=localhost",
        ];
        let server = pod.container("mysql");
        let mut command = Command::new("docker");
        command.args(["run", "--detach", "--name", &server]).args(options);
        command.args(variables.iter().flat_map(|one| ["--env", one])).args([
            IMAGE,
            "--skip-log-bin",
            "--mysqlx=OFF",
        ]);
        done(command.env("MYSQL_ROOT_PASSWORD", FIRST).env("MYSQL_PASSWORD", ACCOUNT));
        pod
    }

    fn container(&self, which: &str) -> String {
        format!("{}-{which}", self.name)
    }

    /// Starts the credential-sync container with its permissions, memory and mounts in Kubernetes.
    pub fn start_sync(&self) {
        self.start_sync_with(&[]);
    }

    /// Starts the credential-sync container with other intervals.
    pub fn start_sync_with(&self, variables: &[&str]) {
        let network = format!("container:{}", self.container("mysql"));
        let mount = |from: &str, to: &str| format!("{from}:{to}:ro");
        let path = |folder: &str| self.files.path().join(folder).display().to_string();
        let mounts = [
            mount(&self.name, "/var/run/mysqld"),
            mount(&path("credentials"), "/etc/mysql-credential-sync"),
            mount(&path("tls"), "/etc/mysql-tls"),
        ];
        let mut command = Command::new("docker");
        command.args([
            "run",
            "--detach",
            "--name",
            &self.container("credential-sync"),
            "--network",
            &network,
        ]);
        command.args(mounts.iter().flat_map(|one| ["--volume", one]));
        command.args([
            "--read-only",
            "--user",
            "999:999",
            "--cap-drop",
            "ALL",
            "--memory",
            "64m",
            "--memory-swap",
            "64m",
        ]);
        command.args(["LOOK_SECONDS=0.3"].iter().chain(variables).flat_map(|one| ["--env", one]));
        done(command.args(["--entrypoint", "bash", IMAGE, "-c", SCRIPT]));
    }

    /// Runs the kubelet's probe and returns its output if it fails.
    pub fn probe(&self) -> Result<(), String> {
        let container = self.container("credential-sync");
        let output = Command::new("docker").args(["exec", &container]).args(PROBE).output().unwrap();
        if output.status.success() { Ok(()) } else { Err(String::from_utf8(output.stdout).unwrap()) }
    }

    /// Waits until the probe succeeds.
    pub fn is_ready(&self) {
        eventually("the probe succeeds", || self.probe().is_ok(), || self.log());
    }

    /// Stops the credential-sync container, and returns the duration and the exit code.
    pub fn stop_sync(&self) -> (Duration, String) {
        let (container, started) = (self.container("credential-sync"), Instant::now());
        docker(&["stop", "--time", "30", &container]);
        let took = started.elapsed();
        let state = docker(&["inspect", "--format", "{{.State.ExitCode}} {{.State.OOMKilled}}", &container]);
        docker(&["rm", &container]);
        (took, state)
    }

    /// Writes root's passwords to the files, the newest and the earlier ones.
    pub fn wants(&self, password: &str, earlier: &[&str]) {
        self.write("credentials/previous-root-password", &earlier.join("\n"));
        self.write("credentials/root-password", password);
    }

    /// Writes a file atomically, as a kubelet does.
    pub fn write(&self, file: &str, content: &str) {
        let (path, draft) = (self.files.path().join(file), self.files.path().join("draft"));
        fs::write(&draft, content).unwrap();
        fs::rename(&draft, Path::new(&path)).unwrap();
    }

    /// The credential-sync container's log, which never contains a password.
    pub fn log(&self) -> String {
        let output =
            Command::new("docker").args(["logs", &self.container("credential-sync")]).output().unwrap();
        let log = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(!log.contains(MARK), "{log}");
        log
    }

    /// Waits until the credential-sync container has logged that so often.
    pub fn hears(&self, words: &str, times: usize) {
        eventually(
            &format!("{words}, {times} times"),
            || self.log().matches(words).count() == times,
            || self.log(),
        );
    }

    /// Runs a statement as root, after the server's first initialisation.
    pub fn sql(&self, password: &str, statement: &str) -> Result<String, String> {
        self.client("--user=root", password, statement)
    }

    fn client(&self, options: &str, password: &str, statement: &str) -> Result<String, String> {
        let wait = format!(
            "until mysqladmin ping --protocol=tcp --host=127.0.0.1 --user=probe --silent; do sleep 0.2; done 2>/dev/null; \
            IFS= read -r password; MYSQL_PWD=$password mysql {options} --batch --skip-column-names"
        );
        let mut child = Command::new("docker")
            .args(["exec", "--interactive", &self.container("mysql"), "bash", "-c", &wait])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(format!("{password}\n{statement};\n").as_bytes()).unwrap();
        let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().trim().to_owned();
        if status.success() { Ok(text(stdout)) } else { Err(text(stderr)) }
    }

    pub fn accepts(&self, password: &str) -> bool {
        match self.sql(password, "SELECT 1") {
            Ok(_) => true,
            Err(error) if error.contains("Access denied") => false,
            Err(error) => panic!("{error}"),
        }
    }

    /// Writes the account's passwords, as `wants` does for root.
    pub fn wants_of_the_account(&self, password: &str, previous: Option<&str>) {
        let file = "credentials/previous-password";
        match previous {
            Some(previous) => self.write(file, previous),
            None => drop(fs::remove_file(self.files.path().join(file))),
        }
        self.write("credentials/password", password);
    }

    /// Runs a statement as the account, connected as the blog is.
    pub fn as_account(&self, password: &str, statement: &str) -> Result<String, String> {
        self.client("--user=flaskr --protocol=tcp --host=127.0.0.1 --ssl-mode=REQUIRED", password, statement)
    }

    /// Whether the account can log in with it.
    pub fn account_accepts(&self, password: &str) -> bool {
        match self.as_account(password, "DO 0") {
            Ok(_) => true,
            Err(error) if error.contains("Access denied") => false,
            Err(error) => panic!("{error}"),
        }
    }

    /// Waits until the account can use the blog's database with it.
    pub fn account_works(&self, password: &str) {
        // An attempt without the permission to drop leaves the table behind.
        let statement = "DROP TABLE IF EXISTS flask_r.probe; CREATE TABLE flask_r.probe (id INT); DROP TABLE flask_r.probe";
        eventually("the account works", || self.as_account(password, statement).is_ok(), || self.log());
    }

    /// Waits until the account has these permissions.
    pub fn has_grants(&self, root: &str, grants: &str) {
        let statement = "SHOW GRANTS FOR 'flaskr'@'%'";
        eventually(
            "the rights are back",
            || self.sql(root, statement).as_deref() == Ok(grants),
            || self.log(),
        );
    }

    /// Waits until the account no longer has this password.
    pub fn account_refuses(&self, password: &str) {
        eventually("the account refuses it", || !self.account_accepts(password), || self.log());
    }

    /// Waits until root has the new password and not the old one.
    pub fn changes(&self, new: &str, old: &str) {
        eventually("the password changes", || self.accepts(new) && !self.accepts(old), || self.log());
    }

    /// Every command line in the credential-sync container for some seconds.
    pub fn command_lines(&self, seconds: u32) -> thread::JoinHandle<String> {
        let look =
            format!("while [[ $SECONDS -lt {seconds} ]]; do cat /proc/[0-9]*/cmdline; done 2>/dev/null");
        let arguments = ["exec", &self.container("credential-sync"), "bash", "-c", &look].map(str::to_owned);
        thread::spawn(move || {
            let output = Command::new("docker").args(arguments).output().unwrap();
            String::from_utf8_lossy(&output.stdout).into_owned()
        })
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        for container in ["credential-sync", "mysql"] {
            let _ = Command::new("docker")
                .args(["rm", "--force", "--volumes", &self.container(container)])
                .output();
        }
        let _ = Command::new("docker").args(["volume", "rm", "--force", &self.name]).output();
    }
}

fn docker(arguments: &[&str]) -> String {
    done(Command::new("docker").args(arguments))
}

fn done(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Waits until the condition holds. Panics with the evidence on a timeout.
pub fn eventually(what: &str, holds: impl Fn() -> bool, evidence: impl Fn() -> String) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "gave up waiting until {what}: {}", evidence());
        thread::sleep(Duration::from_millis(200));
    }
}
