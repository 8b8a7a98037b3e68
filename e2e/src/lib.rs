//! What the cluster tests share: kubectl, helm, and waits that report what they waited for.

pub mod browser;

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::Value;

/// The context of `kind-example-config.yaml`'s cluster; never the user's current one.
pub const CONTEXT: &str = "kind-flaskblog";
/// Where the sample blog answers on this machine.
pub const URL: &str = "http://localhost:30423";
/// Longest wait for a blog to become ready, while other tests initialise databases too.
pub const PATIENCE: Duration = Duration::from_secs(360);

fn output(program: &str, arguments: &[&str], input: Option<&str>) -> Output {
    // No call takes longer, Helm's waits included; a call that hangs must not hang the run.
    let mut child = Command::new("timeout")
        .args(["--kill-after=10", "600", program])
        .args(arguments)
        .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("failed to start {program}: {error}; run dev/test.sh cluster"));
    if let (Some(text), Some(mut stdin)) = (input, child.stdin.take()) {
        stdin.write_all(text.as_bytes()).unwrap_or_else(|error| panic!("{program} took no input: {error}"));
    }
    child.wait_with_output().unwrap_or_else(|error| panic!("{program} can't be waited for: {error}"))
}

fn succeeded(program: &str, arguments: &[&str], input: Option<&str>) -> String {
    let result = output(program, arguments, input);
    let text = String::from_utf8_lossy(&result.stdout).into_owned();
    assert!(
        result.status.success(),
        "{program} {} failed: {text}{}",
        arguments.join(" "),
        String::from_utf8_lossy(&result.stderr)
    );
    text
}

fn in_context<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    [&["--context", CONTEXT], arguments].concat()
}

/// Runs kubectl and returns what it prints; a failure is the test's.
#[must_use]
pub fn kubectl(arguments: &[&str]) -> String {
    succeeded("kubectl", &in_context(arguments), None)
}

/// Runs kubectl with an input: for what must not stand on a command line.
#[must_use]
pub fn kubectl_fed(arguments: &[&str], input: &str) -> Output {
    output("kubectl", &in_context(arguments), Some(input))
}

/// `kubectl … -o json`, or nothing if it failed, for example because the object isn't there.
#[must_use]
pub fn kubectl_json(arguments: &[&str]) -> Option<Value> {
    let result = output("kubectl", &in_context(&[arguments, &["-o", "json"]].concat()), None);
    serde_json::from_slice(&result.stdout).ok()
}

/// `kubectl apply -f -`: whether it succeeded, and everything that it printed.
#[must_use]
pub fn kubectl_apply(namespace: &str, manifest: &str) -> (bool, String) {
    let result = output("kubectl", &in_context(&["apply", "-n", namespace, "-f", "-"]), Some(manifest));
    let text = [result.stdout, result.stderr].concat();
    (result.status.success(), String::from_utf8_lossy(&text).into_owned())
}

/// Runs a Helm (`helm` or `helm4`) and returns what it prints; a failure is the test's.
#[must_use]
pub fn helm(program: &str, arguments: &[&str]) -> String {
    succeeded(program, &[&["--kube-context", CONTEXT], arguments].concat(), None)
}

/// Runs a command line in a shell in the repository's root, with the cluster as the current context.
#[must_use]
pub fn shell(line: &str) -> Output {
    output("bash", &["-c", &in_root(line)], None)
}

/// As [`shell`], and returns what it prints; a failure is the test's.
pub fn done(line: &str) -> String {
    succeeded("bash", &["-c", &in_root(line)], None)
}

fn in_root(line: &str) -> String {
    format!("cd {:?} && {line}", concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// A port of this machine that nothing listens on, and that no other test receives.
///
/// # Panics
/// If no port is left.
#[must_use]
pub fn free_port() -> u16 {
    // Below the ports that the system gives to outgoing connections: the readers of other tests open many.
    static NEXT: AtomicU16 = AtomicU16::new(20_000);
    let mut ports = std::iter::from_fn(|| Some(NEXT.fetch_add(1, Ordering::Relaxed)));
    ports
        .by_ref()
        .take_while(|port| *port < 30_000)
        .find(|port| TcpListener::bind(("0.0.0.0", *port)).is_ok())
        .expect("a port is free")
}

/// The address of a node in the cluster's own network, where its node ports answer.
///
/// # Panics
/// If there is no such node.
#[must_use]
pub fn node_address(name: &str) -> String {
    let node = kubectl_json(&["get", "node", name]).unwrap_or_else(|| panic!("no node {name}"));
    let addresses = node["status"]["addresses"].as_array().into_iter().flatten();
    let internal = addresses.into_iter().find(|one| one["type"] == "InternalIP");
    let address = internal.and_then(|one| one["address"].as_str());
    address.unwrap_or_else(|| panic!("the node {name} has no address")).to_owned()
}

/// The shell blocks of a page.
#[must_use]
pub fn shell_blocks(page: &str) -> Vec<&str> {
    page.split("```sh\n").skip(1).filter_map(|block| block.split("```").next()).collect()
}

/// The commands of a page, each in the cluster's context.
#[must_use]
pub fn commands(page: &str) -> Vec<String> {
    let text = shell_blocks(page).concat().replace("\\\n", " ");
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| {
            let line = line.split("  #").next().unwrap_or_default();
            let line = line.replacen("kubectl ", "kubectl --context kind-flaskblog ", 1);
            line.replacen("helm ", "helm --kube-context kind-flaskblog ", 1)
        })
        .collect()
}

/// Waits until `probe` returns something; after [`PATIENCE`] it panics with the state of the namespace.
pub fn eventually<T>(what: &str, namespace: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        if began.elapsed() > PATIENCE {
            let took = began.elapsed();
            let get = ["get", "fb,all,pvc", "-n", namespace, "-o", "wide"];
            let describe = ["describe", "fb", "-n", namespace];
            // A failure of kubectl must not hide what was waited for.
            let state = [&get[..], &describe[..]].map(|arguments| {
                let result = output("kubectl", &in_context(arguments), None);
                String::from_utf8_lossy(&[result.stdout, result.stderr].concat()).into_owned()
            });
            panic!("gave up after {took:.0?} waiting until {what} in {namespace}\n{}", state.join("\n"));
        }
        sleep(Duration::from_millis(500));
    }
}

/// Waits until a blog is ready. Its node port may lead nowhere yet: nodes receive a new replica up to seconds later.
pub fn wait_ready(namespace: &str, blog: &str) {
    let what = format!("{blog} is ready");
    eventually(&what, namespace, || {
        let wait = ["wait", "--for=condition=Ready", "--timeout=10s", "-n", namespace];
        let result = output("kubectl", &in_context(&[&wait[..], &[&format!("fb/{blog}")]].concat()), None);
        result.status.success().then_some(())
    });
}

/// Whether a blog serves its index.
#[must_use]
pub fn answers(url: &str) -> bool {
    shell(&format!("curl --silent --fail --max-time 10 --output /dev/null {url}/")).status.success()
}

/// Status, reason and message of a condition.
#[must_use]
pub fn condition(namespace: &str, blog: &str, type_: &str) -> Option<(String, String, String)> {
    let found = kubectl_json(&["get", "fb", blog, "-n", namespace])?;
    let conditions = found["status"]["conditions"].as_array()?.clone();
    let one = conditions.into_iter().find(|one| one["type"] == type_)?;
    let text = |key: &str| one[key].as_str().unwrap_or_default().to_owned();
    Some((text("status"), text("reason"), text("message")))
}

/// Names of the app's pods that aren't being deleted.
#[must_use]
pub fn app_pods(namespace: &str, blog: &str) -> Vec<Value> {
    let selector = format!("app.kubernetes.io/instance={blog},app.kubernetes.io/component=app");
    let list = kubectl_json(&["get", "pods", "-n", namespace, "-l", &selector]).unwrap_or_default();
    let items = list["items"].as_array().cloned().unwrap_or_default();
    items.into_iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null()).collect()
}

/// Whether all containers of a pod are ready.
#[must_use]
pub fn is_ready(pod: &Value) -> bool {
    let statuses = pod["status"]["containerStatuses"].as_array();
    statuses.is_some_and(|all| !all.is_empty() && all.iter().all(|one| one["ready"] == true))
}

/// How often each container of a pod was started again.
#[must_use]
pub fn restarts(pod: &Value) -> String {
    let statuses = pod["status"]["containerStatuses"].as_array().into_iter().flatten();
    statuses.map(|one| format!("{}: {} ", one["name"], one["restartCount"])).collect()
}

/// A `kubectl port-forward` that ends with this value.
pub struct PortForward {
    child: Child,
    /// Where it answers.
    pub url: String,
}

impl PortForward {
    /// Forwards a free port of this machine to `target`'s port 5000.
    #[must_use]
    pub fn start(namespace: &str, target: &str) -> Self {
        Self::start_at(namespace, target, 0)
    }

    /// The same at a given port. Another program's answer at that port is no answer: kubectl reports that it listens itself.
    #[must_use]
    pub fn start_at(namespace: &str, target: &str, port: u16) -> Self {
        let ports = if port == 0 { ":5000".to_owned() } else { format!("{port}:5000") };
        let mut child = Command::new("kubectl")
            .args(in_context(&["port-forward", "-n", namespace, target, &ports]))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("failed to start kubectl port-forward: {error}"));
        let mut lines = BufReader::new(child.stdout.take().expect("standard output is a pipe")).lines();
        let first = lines.next().and_then(Result::ok).unwrap_or_default();
        // A line follows for each connection, and a full pipe would stop kubectl.
        std::thread::spawn(move || lines.for_each(drop));
        let address = first.strip_prefix("Forwarding from ").and_then(|rest| rest.split_once(" -> "));
        let port = address.and_then(|(address, _)| address.rsplit_once(':'));
        let Some((_, port)) = port else {
            panic!("kubectl port-forward to {target} in {namespace} doesn't listen: {first}")
        };
        Self { url: format!("http://localhost:{port}"), child }
    }
}

impl Drop for PortForward {
    fn drop(&mut self) {
        // It may have ended by itself when its pod went away.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
