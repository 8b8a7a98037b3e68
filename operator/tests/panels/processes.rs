//! Processes that run during a test, and plain requests to them.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_secs(150);

/// A process that is killed with this value.
pub struct Process(Child);

impl Process {
    pub fn start(program: &str, arguments: &[String], variables: &[(&str, String)]) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).envs(variables.iter().map(|(name, value)| (name, value)));
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        Self(child.unwrap_or_else(|error| panic!("failed to start {program}: {error}")))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port without a listener.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Sends an HTTP/1.0 request, and returns the response body for any status.
fn ask(port: u16, request: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())
}

pub fn get(port: u16, path: &str) -> Option<String> {
    ask(port, &format!("GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n\r\n"))
}

pub fn post(port: u16, path: &str, form: &str) -> Option<String> {
    let length = form.len();
    ask(
        port,
        &format!(
            "POST {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\nOrigin: http://127.0.0.1:{port}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n{form}"
        ),
    )
}

/// Waits until `probe` returns a value.
pub fn until<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < deadline, "gave up waiting until {what}");
        std::thread::sleep(Duration::from_millis(300));
    }
}

fn docker(arguments: &[&str]) {
    let done = Command::new("docker").args(arguments).output().unwrap();
    assert!(done.status.success(), "docker {}: {}", arguments[0], String::from_utf8_lossy(&done.stderr));
}

/// A MySQL on the loopback interface, with its own volume.
pub struct MySql {
    name: String,
    port: u16,
    files: tempfile::TempDir,
}

/// A replica of the blog.
pub struct Blog {
    _process: Process,
    /// Port of the pages.
    pub port: u16,
    /// Port of probes and metrics.
    pub admin: u16,
}

impl MySql {
    pub fn start() -> Self {
        let server = Self {
            name: format!("flaskblog-test-panels-{}", std::process::id()),
            port: free_port(),
            files: tempfile::tempdir().unwrap(),
        };
        std::fs::write(server.files.path().join("password"), "of-this-test").unwrap();
        std::fs::write(server.files.path().join("key"), [7; 32]).unwrap();
        let port = format!("--port={}", server.port);
        docker(&[
            "run",
            "--detach",
            "--name",
            &server.name,
            "--network",
            "host",
            "--env",
            "MYSQL_ROOT_PASSWORD=of-root",
            "--env",
            "MYSQL_DATABASE=flaskr",
            "--env",
            "MYSQL_USER=blog",
            "--env",
            "MYSQL_PASSWORD=of-this-test",
            "mysql:9.7",
            &port,
            "--bind-address=127.0.0.1",
            "--mysqlx=OFF",
            "--skip-log-bin",
        ]);
        let migrate = server.program();
        until("the schema is there", || {
            let migrated = Command::new(&migrate).arg("migrate").envs(server.settings()).output().unwrap();
            migrated.status.success().then_some(())
        });
        server
    }

    /// The program, built beside this test's executable.
    fn program(&self) -> PathBuf {
        let program = PathBuf::from(env!("CARGO_BIN_EXE_operator")).with_file_name("blog-app");
        assert!(program.exists(), "{} is missing: run dev/prometheus-test.sh", program.display());
        program
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        let file = |name: &str| self.files.path().join(name).display().to_string();
        vec![
            ("BLOG_DATABASE_HOST", "127.0.0.1".into()),
            ("BLOG_DATABASE_PORT", self.port.to_string()),
            ("BLOG_DATABASE_NAME", "flaskr".into()),
            ("BLOG_DATABASE_USER", "blog".into()),
            ("BLOG_DATABASE_PASSWORD_FILE", file("password")),
            ("BLOG_SESSION_KEY_FILE", file("key")),
        ]
    }

    /// Starts another replica with this database, and returns once it serves.
    pub fn blog(&self) -> Blog {
        let (port, admin) = (free_port(), free_port());
        let mut settings = self.settings();
        settings.push(("BLOG_LISTEN", format!("127.0.0.1:{port}")));
        settings.push(("BLOG_ADMIN_LISTEN", format!("127.0.0.1:{admin}")));
        let process = Process::start(&self.program().display().to_string(), &["serve".into()], &settings);
        until("the blog is ready", || get(admin, "/readyz").filter(|text| text.starts_with("ready\n")));
        Blog { _process: process, port, admin }
    }

    /// Kills the server at once, as a lost node does.
    pub fn kill(&self) {
        docker(&["kill", &self.name]);
    }

    pub fn start_again(&self) {
        docker(&["start", &self.name]);
    }
}

impl Drop for MySql {
    fn drop(&mut self) {
        let _ = Command::new("docker").args(["rm", "--force", "--volumes", &self.name]).output();
    }
}
