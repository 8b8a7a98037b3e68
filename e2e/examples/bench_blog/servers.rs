//! The programs that are compared, each on a port of this machine's loopback.

use std::{
    fs,
    io::Write,
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

/// What the script that starts this has prepared.
pub struct Places {
    pub blog: PathBuf,
    pub bare: PathBuf,
    pub python: PathBuf,
    pub flaskr: PathBuf,
    pub work: PathBuf,
    pub mysql_port: String,
    pub mysql_password: String,
}

impl Places {
    pub fn from_env() -> Self {
        let get = |name: &str| {
            std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run make bench-blog"))
        };
        let url = get("BENCH_MYSQL_URL");
        let (credentials, address) = url.trim_start_matches("mysql://").split_once('@').expect("user@host");
        Self {
            blog: get("BENCH_BLOG").into(),
            bare: get("BENCH_BARE").into(),
            python: get("BENCH_PYTHON").into(),
            flaskr: get("BENCH_FLASKR").into(),
            work: get("BENCH_WORK").into(),
            mysql_port: address.rsplit(':').next().expect("a port").to_owned(),
            mysql_password: credentials.split_once(':').expect("a password").1.to_owned(),
        }
    }

    fn settings(&self) -> [(&'static str, String); 4] {
        let url = format!(
            "mysql://root:{}@127.0.0.1:{}/bench_blog?ssl-mode=DISABLED",
            self.mysql_password, self.mysql_port
        );
        let key = self.work.join("key");
        fs::write(&key, [7; 64]).expect("the key is written");
        [
            ("BLOG_DATABASE_URL", url),
            ("BLOG_SESSION_KEY_FILE", key.display().to_string()),
            ("BLOG_DRAIN_SECONDS", "0".to_owned()),
            ("BLOG_LISTEN", "127.0.0.1:6001".to_owned()),
        ]
    }

    /// Runs a subcommand of the blog to its end.
    pub fn blog(&self, arguments: &[&str], input: &str) {
        let mut child = Command::new(&self.blog)
            .args(arguments)
            .envs(self.settings())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("blog-app starts");
        child.stdin.take().expect("its input").write_all(input.as_bytes()).expect("it reads");
        assert!(child.wait().expect("it ends").success(), "blog-app {arguments:?} failed");
    }

    /// Statements for the test server, as root.
    pub fn sql(&self, statements: &str) {
        let client = "MYSQL_PWD=$MYSQL_ROOT_PASSWORD exec mysql --protocol=tcp -h127.0.0.1 -P$PORT -uroot";
        let port = format!("PORT={}", self.mysql_port);
        let mut child = Command::new("docker")
            .args(["exec", "-i", "--env", &port, "flaskblog-test-mysql", "bash", "-c", client])
            .stdin(Stdio::piped())
            .spawn()
            .expect("docker starts");
        child.stdin.take().expect("its input").write_all(statements.as_bytes()).expect("it reads");
        assert!(child.wait().expect("it ends").success(), "mysql failed at {statements:.200}");
    }

    /// All of them, running.
    pub fn start(&self, page: &[u8]) -> Vec<Server> {
        vec![
            self.start_blog(),
            self.start_flaskr("flaskr", 6002, None),
            self.start_flaskr("flaskr-page", 6003, Some("20")),
            self.start_nginx(page),
            self.start_bare(page),
        ]
    }

    pub fn start_blog(&self) -> Server {
        let log = fs::File::create(self.work.join("blog.log")).expect("a log");
        let child = Command::new(&self.blog)
            .args(["serve", "--admin-listen", "127.0.0.1:6011"])
            .envs(self.settings())
            .stderr(log)
            .spawn();
        Server::wait("blog", 6001, child.expect("blog-app starts"))
    }

    fn start_flaskr(&self, name: &'static str, port: u16, page: Option<&str>) -> Server {
        let mut command = Command::new(self.python.join("gunicorn"));
        let workers = std::thread::available_parallelism().map_or(1, usize::from) * 2 + 1;
        command
            .args([
                "--workers",
                &workers.to_string(),
                "--bind",
                &format!("127.0.0.1:{port}"),
                "flaskr:create_app()",
            ])
            .current_dir(&self.flaskr)
            .envs([("MYSQL_HOST", "127.0.0.1"), ("MYSQL_DATABASE", "bench_flaskr")])
            .envs([("MYSQL_PORT", &self.mysql_port), ("MYSQL_PASSWORD", &self.mysql_password)])
            .stderr(Stdio::null());
        if let Some(page) = page {
            command.env("FLASKR_PAGE", page);
        }
        Server::wait(name, port, command.spawn().expect("gunicorn starts"))
    }

    fn start_nginx(&self, page: &[u8]) -> Server {
        let root = self.work.join("html");
        fs::create_dir_all(&root).expect("a folder");
        fs::write(root.join("index.html"), page).expect("the page is written");
        let configuration = format!(
            "daemon off; worker_processes auto; pid {work}/nginx.pid; error_log /dev/null; user root;\n\
             events {{ worker_connections 1024; }}\n\
             http {{ access_log {work}/access.log; sendfile on; tcp_nopush on; keepalive_requests 1000000; default_type text/html;\n\
             server {{ listen 127.0.0.1:6004; root {work}/html; }} }}\n",
            work = self.work.display()
        );
        let file = self.work.join("nginx.conf");
        fs::write(&file, configuration).expect("the configuration is written");
        let child = Command::new("nginx").args([Path::new("-c"), &file]).spawn();
        Server::wait("nginx", 6004, child.expect("nginx starts"))
    }

    fn start_bare(&self, page: &[u8]) -> Server {
        let file = self.work.join("page.html");
        fs::write(&file, page).expect("the page is written");
        let child = Command::new(&self.bare).arg(file).spawn();
        Server::wait("axum", 6005, child.expect("the bare server starts"))
    }
}

/// A running program, ended with this value.
pub struct Server {
    pub name: &'static str,
    pub port: u16,
    child: Child,
}

impl Server {
    fn wait(name: &'static str, port: u16, child: Child) -> Self {
        let server = Self { name, port, child };
        let deadline = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "{name} doesn't listen");
            sleep(Duration::from_millis(1));
        }
        server
    }

    /// Waits until it has finished earlier requests; a slow server still has those of closed connections.
    pub fn settle(&self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        let worked = || -> u64 {
            std::iter::once(self.child.id()).chain(children(self.child.id())).map(processor_ticks).sum()
        };
        let mut before = worked();
        loop {
            sleep(Duration::from_millis(250));
            let now = worked();
            if now <= before + 1 || Instant::now() > deadline {
                return;
            }
            before = now;
        }
    }

    /// Resident memory of it and its children, in MiB.
    pub fn memory(&self) -> f64 {
        let kib: u64 = std::iter::once(self.child.id()).chain(children(self.child.id())).map(resident).sum();
        kib as f64 / 1024.0
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

fn children(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

fn resident(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Ticks that a process has worked, of which the kernel counts a hundred a second.
fn processor_ticks(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = text.rsplit(')').next().unwrap_or_default();
    after_name.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum()
}
