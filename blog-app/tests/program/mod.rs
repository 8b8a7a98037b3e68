//! The real program as a child process, with a minimal HTTP client.

pub mod docs;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Long enough for the slowest machine.
///
/// Only a failing test waits for it.
const PATIENCE: Duration = Duration::from_secs(30);

/// The program without any settings from the environment.
pub fn command(arguments: &[&str], settings: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_blog-app"));
    command.args(arguments).env_clear().envs(settings.iter().copied());
    command
}

/// Runs it to its end.
pub fn run(arguments: &[&str], settings: &[(&str, &str)]) -> Output {
    command(arguments, settings).output().unwrap()
}

/// Runs it to its end, with this standard input.
pub fn run_with(arguments: &[&str], settings: &[(&str, &str)], input: &str) -> Output {
    let mut child = command(arguments, settings)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// A running blog, killed at the end of the test.
pub struct Program {
    pub child: Child,
    log: Arc<Mutex<String>>,
    pub pages: SocketAddr,
    pub admin: SocketAddr,
}

impl Program {
    /// Starts it on free ports and waits until it listens.
    pub fn start(arguments: &[&str], settings: &[(&str, &str)]) -> Self {
        Self::spawn(command(arguments, settings))
    }

    /// The same with the caller's own command.
    pub fn spawn(mut command: Command) -> Self {
        let mut child = command
            .env("BLOG_LISTEN", "127.0.0.1:0")
            .env("BLOG_ADMIN_LISTEN", "127.0.0.1:0")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let (log, mut serving) = (Arc::new(Mutex::new(String::new())), None);
        while serving.is_none() {
            let Some(line) = lines.next() else { panic!("ended before serving: {}", log.lock().unwrap()) };
            let event: serde_json::Value = serde_json::from_str(&line).expect("each line is JSON");
            let address = |field: &str| event[field].as_str().and_then(|text| text.parse().ok());
            serving = address("address").zip(address("admin_address"));
            *log.lock().unwrap() += &format!("{line}\n");
        }
        let rest = Arc::clone(&log);
        std::thread::spawn(move || lines.for_each(|line| *rest.lock().unwrap() += &format!("{line}\n")));
        let (pages, admin) = serving.unwrap();
        Self { child, log, pages, admin }
    }

    pub fn terminate(&self) {
        self.signal("TERM");
    }

    pub fn signal(&self, name: &str) {
        let kill = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.child.id())]).status();
        assert!(kill.unwrap().success());
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        eventually("the program ends", || self.child.try_wait().unwrap())
    }

    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub fn readiness(&self) -> (u16, String) {
        get(self.admin, "/readyz")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already, as it should.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Polls until there is a value.
///
/// Fails with a description of what it waited for.
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::yield_now();
    }
}

pub fn get(address: SocketAddr, path: &str) -> (u16, String) {
    exchange(address, &format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"))
}

pub fn post(address: SocketAddr, path: &str, cookie: &str, body: &str) -> (u16, String) {
    let length = body.len();
    exchange(
        address,
        &format!(
            "POST {path} HTTP/1.1\r\nHost: {address}\r\nCookie: {cookie}\r\nConnection: close\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n{body}"
        ),
    )
}

/// The status and the whole response, head and body.
pub fn exchange(address: SocketAddr, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    read(&mut stream)
}

pub fn read(stream: &mut TcpStream) -> (u16, String) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("no answer but {text:?}")), text)
}
