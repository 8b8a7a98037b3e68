//! A real Prometheus with processes of the operator and the blog, and a MySQL that is killed: every panel has values, and
//! alerts fire and resolve. Run by `dev/prometheus-test.sh`.

#![expect(clippy::unwrap_used, reason = "a failed unwrap in a test is a failed test, also in its helpers")]

#[expect(dead_code, reason = "the house of the other tests, which has rooms that aren't needed here")]
#[path = "../apiserver/house.rs"]
mod house;
mod picture;
mod processes;

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use flaskblog_api::FlaskBlog;
use house::House;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use operator::monitoring::{
    Subject, blog_alerts, blog_dashboard, expressions, groups, operator_alerts, operator_dashboard,
};
use processes::{MySql, Process, free_port, get, post, until};
use serde_json::{Value, json};

const BLOG: Subject<'_> = Subject { namespace: "press", name: "daily" };
/// Long enough for several scrapes, which happen every three seconds here.
const INTERVAL: &str = "15s";
/// Metrics of the kubelet, which doesn't run here. promtool tests their alert.
const OF_KUBELETS: &str = "kubelet_volume_stats_";

/// Prometheus' result for an expression.
fn query(prometheus: u16, expr: &str) -> Vec<Value> {
    result(prometheus, &format!("query?query={}", encoded(expr)))
}

/// The series in the response to an API request.
fn result(prometheus: u16, request: &str) -> Vec<Value> {
    let text = get(prometheus, &format!("/api/v1/{request}")).unwrap();
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(answer["status"], "success", "{request}: {answer}");
    answer["data"]["result"].as_array().unwrap().clone()
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// The numbers of a result, without NaN.
fn numbers(prometheus: u16, expr: &str) -> Vec<f64> {
    let parsed =
        |one: &Value| one["value"][1].as_str()?.parse::<f64>().ok().filter(|number| number.is_finite());
    query(prometheus, expr).iter().filter_map(parsed).collect()
}

fn firing(prometheus: u16) -> BTreeSet<String> {
    let name = |one: &Value| one["metric"]["alertname"].as_str().unwrap().to_owned();
    query(prometheus, r#"ALERTS{alertstate="firing"}"#).iter().map(name).collect()
}

/// Starts Prometheus with the monitors' targets and the generated rules.
fn start_prometheus(folder: &std::path::Path, blogs: &[u16], operator: u16) -> (Process, u16) {
    let port = free_port();
    let targets: Vec<String> = blogs.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    let config = json!({
        // While the database is unavailable a response takes two seconds.
        "global": {"scrape_interval": "3s", "evaluation_interval": "1s"},
        "rule_files": ["*.rules.json"],
        "scrape_configs": [
            {"job_name": BLOG.name, "static_configs": [{"targets": targets, "labels": {"namespace": BLOG.namespace}}]},
            {"job_name": "operator", "honor_labels": true, "static_configs": [{"targets": [format!("127.0.0.1:{operator}")]}]},
        ],
    });
    let write = |name: &str, content: &Value| std::fs::write(folder.join(name), content.to_string()).unwrap();
    write("prometheus.yml", &config);
    write("blog.rules.json", &groups("blog", &blog_alerts(&BLOG, 2, true), Some(&BLOG), ""));
    write("operator.rules.json", &groups("operator", &operator_alerts(), None, ""));
    let program = std::env::var("PROMETHEUS").expect("PROMETHEUS is not set: run dev/prometheus-test.sh");
    let arguments = [
        format!("--config.file={}", folder.join("prometheus.yml").display()),
        format!("--storage.tsdb.path={}", folder.join("data").display()),
        format!("--web.listen-address=127.0.0.1:{port}"),
    ];
    let process = Process::start(&program, &arguments, &[]);
    // Before that it responds with "Service Unavailable".
    until("Prometheus is ready", || get(port, "/-/ready").filter(|text| text.contains("is Ready")));
    (process, port)
}

fn start_operator() -> (Process, u16) {
    let port = free_port();
    let arguments =
        ["run", "--watch-namespace", BLOG.namespace, "--lease-namespace", BLOG.namespace, "--listen"]
            .map(str::to_owned)
            .into_iter()
            .chain([format!("127.0.0.1:{port}")])
            .collect::<Vec<_>>();
    let kubeconfig = std::env::var("API_TEST_KUBECONFIG").unwrap();
    let process = Process::start(env!("CARGO_BIN_EXE_operator"), &arguments, &[("KUBECONFIG", kubeconfig)]);
    until("the operator leads", || {
        get(port, "/metrics").filter(|text| text.contains("flaskblog_operator_leading 1"))
    });
    (process, port)
}

/// Sends reads and a failed login, as usual traffic does.
fn visit(blogs: &[u16]) {
    for port in blogs {
        let _ = get(*port, "/");
        let _ = get(*port, "/nowhere");
        let _ = post(*port, "/auth/login", "username=nobody&password=wrong");
    }
}

/// Sends requests in sequence until this value is dropped.
///
/// A response may take seconds while the database is unavailable.
struct Visitors(Arc<AtomicBool>);

impl Visitors {
    fn of(blogs: &[u16]) -> Self {
        let (there, blogs) = (Arc::new(AtomicBool::new(true)), blogs.to_vec());
        let still = Arc::clone(&there);
        std::thread::spawn(move || {
            while still.load(Ordering::Relaxed) {
                visit(&blogs);
            }
        });
        Self(there)
    }
}

impl Drop for Visitors {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// Annotates a FlaskBlog every other second.
///
/// Without reconciles there are no durations.
async fn keep_the_operator_busy(blogs: Api<FlaskBlog>) {
    for number in 0_u32.. {
        let patch = json!({"metadata": {"annotations": {"poke": number.to_string()}}});
        let _ = blogs.patch(BLOG.name, &PatchParams::default(), &Patch::Merge(patch)).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
}

fn every_panel_has_figures(prometheus: u16, blogs: &[u16]) {
    let mut all = expressions(&blog_dashboard(&BLOG, true), INTERVAL);
    all.extend(expressions(&operator_dashboard(), INTERVAL));
    assert!(all.len() > 20, "only {} expressions", all.len());
    let mut without = BTreeSet::new();
    for (panel, expr) in all {
        if expr.contains(OF_KUBELETS) {
            assert!(query(prometheus, &expr).is_empty());
            without.insert(panel);
            continue;
        }
        until(&format!("the panel {panel} has figures: {expr}"), || {
            visit(blogs);
            (!numbers(prometheus, &expr).is_empty()).then_some(())
        });
    }
    assert_eq!(without, BTreeSet::from(["Database volume in use".to_owned()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_panel_has_figures_and_the_alert_comes_when_mysql_is_killed_and_goes_when_it_is_back() {
    let mut house = House::open(BLOG.namespace).await;
    house.stop_operator();
    let (_operator, operator) = start_operator();
    house.apply(BLOG.name, json!({})).await.unwrap();
    house.settled(BLOG.name, 2).await;

    let folder = tempfile::tempdir().unwrap();
    let mysql = MySql::start();
    let blogs = [mysql.blog(), mysql.blog()];
    let ports: Vec<u16> = blogs.iter().map(|blog| blog.port).collect();
    let admin: Vec<u16> = blogs.iter().map(|blog| blog.admin).collect();
    let (_prometheus, prometheus) = start_prometheus(folder.path(), &admin, operator);
    let up = format!("sum(up{{{}}})", BLOG.selector());
    until("both replicas are collected from", || (numbers(prometheus, &up) == [2.0]).then_some(()));
    until("the operator says that the blog is ready, with the blog's own labels", || {
        let ready = numbers(prometheus, r#"flaskblog_operator_blog_ready{namespace="press",name="daily"}"#);
        (ready == [1.0]).then_some(())
    });
    let started = now();
    let busy = tokio::spawn(keep_the_operator_busy(house.blogs()));
    every_panel_has_figures(prometheus, &ports);
    assert_eq!(firing(prometheus), BTreeSet::new());

    mysql.kill();
    let killed = Instant::now();
    let visitors = Visitors::of(&ports);
    until("the alert has come", || firing(prometheus).contains("FlaskBlogDatabaseDown").then_some(()));
    println!("FlaskBlogDatabaseDown came {:.0} s after MySQL was killed", killed.elapsed().as_secs_f64());
    assert!(killed.elapsed() > Duration::from_secs(55), "sooner than it says");
    assert!(!firing(prometheus).contains("FlaskBlogDown"), "the replicas serve on");
    assert!(
        query(prometheus, "blog_mysql_uptime_seconds").is_empty(),
        "nobody knows it of a server that is away"
    );
    drop(visitors);
    mysql.start_again();
    let back = Instant::now();
    until("the alert has gone", || (!firing(prometheus).contains("FlaskBlogDatabaseDown")).then_some(()));
    println!("and went {:.0} s after MySQL was started again", back.elapsed().as_secs_f64());
    every_panel_has_figures(prometheus, &ports);
    busy.abort();
    if let Ok(folder) = std::env::var("PANELS_TO") {
        let (end, folder) = (now(), PathBuf::from(folder));
        picture::write(prometheus, &blog_dashboard(&BLOG, true), started, end, &folder.join("blog.json"));
        picture::write(prometheus, &operator_dashboard(), started, end, &folder.join("operator.json"));
    }
}

/// In seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}
