//! The blog, Flaskr, nginx and a bare handler side by side. `make bench-blog` runs it and prints a table of ratios.

mod load;
mod servers;

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use load::{Figures, load, median};
use servers::{Places, Server};

const ROUNDS: usize = 3;
const SECONDS: u32 = 3;
const SIZES: [u32; 3] = [10, 1000, 10_000];
/// So many users log in at once, each with an account of its own: guesses are counted by account.
const USERS: u32 = 500;

/// What is loaded: a name, the address, and how.
struct Case {
    page: &'static str,
    path: &'static str,
    logged_in: bool,
    script: Option<&'static str>,
    servers: &'static [&'static str],
}

const ALL: &[&str] = &["blog", "nginx", "axum", "flaskr", "flaskr-page"];
const BOTH: &[&str] = &["blog", "flaskr", "flaskr-page"];

const CASES: &[Case] = &[
    Case { page: "index", path: "/", logged_in: false, script: None, servers: ALL },
    Case { page: "index, logged in", path: "/", logged_in: true, script: None, servers: BOTH },
    Case { page: "post", path: "/5", logged_in: false, script: None, servers: &["blog"] },
    Case {
        page: "login page",
        path: "/auth/login",
        logged_in: false,
        script: None,
        servers: &["blog", "flaskr"],
    },
    Case {
        page: "log in",
        path: "/auth/login",
        logged_in: false,
        script: Some("login"),
        servers: &["blog", "flaskr"],
    },
    Case {
        page: "create a post",
        path: "/create",
        logged_in: true,
        script: Some("create"),
        servers: &["blog", "flaskr"],
    },
];

fn main() {
    let places = Places::from_env();
    println!(
        "| page | posts | server | requests/s | p50 ms | p99 ms | of nginx | × Flaskr | × Flaskr, same page |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    let mut memory = Vec::new();
    for size in SIZES {
        fill(&places, size);
        let servers = places.start(&page(&places));
        if size == SIZES[0] {
            std::thread::sleep(Duration::from_secs(2));
            memory = servers.iter().map(|server| (server.name, server.memory())).collect();
        }
        // What writes comes last, and once: it changes the number of posts.
        let cases =
            CASES.iter().filter(|case| size == SIZES[2] || (case.script.is_none() && case.path == "/"));
        for case in cases {
            report(case, size, &measure(&places, case, &servers));
        }
        if size == SIZES[2] {
            println!("\n| server | MiB idle | MiB after the load |\n|---|---|---|");
            for (server, (name, idle)) in servers.iter().zip(&memory) {
                println!("| {name} | {idle:.1} | {:.1} |", server.memory());
            }
        }
    }
    println!("\nThe blog is ready {:.0} ms after its start (median of 9, schema in place).", ready(&places));
}

/// Creates both databases again, with the same users and posts.
fn fill(places: &Places, size: u32) {
    places.sql("DROP DATABASE IF EXISTS bench_blog; CREATE DATABASE bench_blog; DROP DATABASE IF EXISTS bench_flaskr; CREATE DATABASE bench_flaskr;");
    places.blog(&["migrate"], "");
    places.blog(&["user", "add", "user0"], "a pass phrase\n");
    let python = places.python.join("python");
    let program = "from werkzeug.security import generate_password_hash as g; print(g('a pass phrase'))";
    let hash = Command::new(python).args(["-c", program]).output().expect("python runs");
    let hash = String::from_utf8_lossy(&hash.stdout).trim().to_owned();
    let numbers =
        |to: u32| format!("WITH RECURSIVE n AS (SELECT 1 i UNION ALL SELECT i + 1 FROM n WHERE i < {to})");
    let rows = format!(
        "SET SESSION cte_max_recursion_depth = 100000;\n\
         INSERT INTO user (username, password) {} SELECT CONCAT('user', i), p FROM n, (SELECT password p FROM user WHERE id = 1) one;\n\
         INSERT INTO post (author_id, created, title, body) {} SELECT 1, TIMESTAMP('2026-01-01') + INTERVAL i SECOND, \
         CONCAT('Title of post ', i), REPEAT('A line of text, about as long as lines tend to be.\\n', 5) FROM n;\n\
",
        numbers(USERS),
        numbers(size)
    );
    places.sql(&format!("USE bench_blog;\n{rows}"));
    places.sql(&format!(
        "USE bench_flaskr;\n\
         CREATE TABLE user (id INT AUTO_INCREMENT PRIMARY KEY, username VARCHAR(255) UNIQUE NOT NULL, password VARCHAR(255) NOT NULL);\n\
         CREATE TABLE post (id INT AUTO_INCREMENT PRIMARY KEY, author_id INT NOT NULL, created TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, \
         title VARCHAR(255) NOT NULL, body VARCHAR(255) NOT NULL, FOREIGN KEY (author_id) REFERENCES user (id));\n\
         INSERT INTO user (username, password) VALUES ('user0', '{hash}');\n{rows}"
    ));
}

/// The bytes of our index page, for servers of plain bytes.
fn page(places: &Places) -> Vec<u8> {
    let _blog = places.start_blog();
    curl(&["http://127.0.0.1:6001/"])
}

fn curl(arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("curl").args(["--silent", "--noproxy", "*"]).args(arguments).output();
    output.expect("curl runs").stdout
}

/// The session cookie of a login.
fn session(server: &Server) -> String {
    let url = format!("http://127.0.0.1:{}/auth/login", server.port);
    let answer = curl(&["--include", "--data", "username=user0&password=a+pass+phrase", &url]);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let cookie = answer.split("ession=").nth(1).and_then(|rest| rest.split(';').next());
    cookie.unwrap_or_else(|| panic!("{} gave no session: {answer}", server.name)).to_owned()
}

fn script(places: &Places, name: &str) -> PathBuf {
    let body = match name {
        "login" => format!(
            "local n = 0\nfunction request()\n  n = n + 1\n  return wrk.format('POST', nil, \
             {{['Content-Type'] = 'application/x-www-form-urlencoded'}}, 'username=user' .. (n % {USERS} + 1) .. '&password=a+pass+phrase')\nend\n"
        ),
        _ => "wrk.method = 'POST'\nwrk.headers['Content-Type'] = 'application/x-www-form-urlencoded'\n\
              wrk.body = 'title=A+new+post&body=Some+text'\n"
            .to_owned(),
    };
    let file = places.work.join(format!("{name}.lua"));
    fs::write(&file, body).expect("the script is written");
    file
}

/// All servers in turn, round by round, so that what else the machine does meets all of them.
fn measure(places: &Places, case: &Case, servers: &[Server]) -> BTreeMap<&'static str, Figures> {
    let script = case.script.map(|name| script(places, name));
    let loaded: Vec<&Server> = servers.iter().filter(|server| case.servers.contains(&server.name)).collect();
    let cookies: BTreeMap<_, _> =
        loaded.iter().filter(|_| case.logged_in).map(|server| (server.name, session(server))).collect();
    let mut all: BTreeMap<&'static str, Vec<Figures>> = BTreeMap::new();
    for _ in 0..ROUNDS {
        for server in &loaded {
            let url = format!("http://127.0.0.1:{}{}", server.port, case.path);
            let cookie = cookies.get(server.name).map(String::as_str);
            all.entry(server.name).or_default().push(load(&url, SECONDS, cookie, script.as_deref()));
            server.settle();
        }
    }
    all.into_iter().map(|(name, figures)| (name, median(figures))).collect()
}

fn report(case: &Case, size: u32, measured: &BTreeMap<&'static str, Figures>) {
    let rate = |name: &str| measured.get(name).map(|figures| figures.per_second);
    for name in case.servers {
        let figures = &measured[name];
        let against = |other: &str| match rate(other) {
            Some(rate) if other != *name => format!("{:.2}", figures.per_second / rate),
            _ => String::new(),
        };
        let wrong =
            if figures.errors > 0 { format!(" ({} wrong answers)", figures.errors) } else { String::new() };
        println!(
            "| {} | {size} | {name} | {:.0}{wrong} | {:.2} | {:.2} | {} | {} | {} |",
            case.page,
            figures.per_second,
            figures.p50,
            figures.p99,
            against("nginx"),
            against("flaskr"),
            against("flaskr-page"),
        );
    }
}

/// From the start of the process to the first good answer of `/readyz`, in milliseconds.
fn ready(places: &Places) -> f64 {
    let mut all: Vec<f64> = (0..9)
        .map(|_| {
            let started = Instant::now();
            let _blog = places.start_blog();
            while !curl(&["http://127.0.0.1:6011/readyz"]).starts_with(b"ready\n") {
                assert!(started.elapsed() < Duration::from_secs(10), "it never becomes ready");
            }
            started.elapsed().as_secs_f64() * 1000.0
        })
        .collect();
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}
