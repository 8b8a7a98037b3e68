//! The program on its embedded database: start, logs and shutdown.

use std::io::Write;
use std::net::TcpStream;

use super::program::{Program, eventually, get, post, read, run};
use crate::suite::execute;

struct Place {
    _directory: tempfile::TempDir,
    url: String,
}

fn place() -> Place {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}/flaskr.sqlite", directory.path().display());
    Place { _directory: directory, url }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn with_no_subcommand_and_no_settings_it_is_a_blog() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", directory.path().join("flaskr.sqlite").display());
    let program = Program::start(&[], &[("BLOG_DATABASE_URL", &url)]);
    assert_eq!(program.readiness().0, 200);
    let (status, page) = get(program.pages, "/");
    assert!(status == 200 && page.contains("<title>Posts - Flaskr</title>"), "{page}");
}

#[test]
fn title_and_version_are_shown() {
    let place = place();
    let program = Program::start(
        &["serve"],
        &[("BLOG_DATABASE_URL", &place.url), ("BLOG_TITLE", "Bob's <blog>"), ("APP_VERSION", "1.2")],
    );
    let page = get(program.pages, "/").1;
    assert!(page.contains("<title>Posts - Bob&#39;s &#60;blog&#62;</title>"), "{page}");
    assert!(page.contains("<h1><a href=\"/\">Bob&#39;s &#60;blog&#62; - version 1.2</a></h1>"), "{page}");
}

#[test]
fn sigterm_ends_readiness_at_once_and_the_program_after_the_drain() {
    let place = place();
    let mut program =
        Program::start(&["serve"], &[("BLOG_DATABASE_URL", &place.url), ("BLOG_DRAIN_SECONDS", "2")]);
    assert_eq!(program.readiness().0, 200);
    program.terminate();
    let reasons = eventually("it is not ready", || Some(program.readiness()).filter(|(it, _)| *it == 503)).1;
    assert!(reasons.contains("shutting down"), "{reasons}");
    assert_eq!(get(program.pages, "/").0, 200, "a connection during the drain is still served");
    assert_eq!(get(program.admin, "/healthz").0, 200);
    assert!(program.wait().success());
    // The last log lines may not have reached the reader yet.
    eventually("it is logged", || program.log().contains("\"message\":\"stopped\"").then_some(()));
}

#[test]
fn check_ready_asks_the_blog_that_runs_and_says_why_it_is_not_ready() {
    let place = place();
    let program =
        Program::start(&["serve"], &[("BLOG_DATABASE_URL", &place.url), ("BLOG_DRAIN_SECONDS", "5")]);
    let address = program.admin.to_string();
    let ready = || run(&["check-ready", &address], &[]);
    assert_eq!(ready().status.code(), Some(0));
    program.terminate();
    let refused = eventually("it is not ready", || Some(ready()).filter(|it| !it.status.success()));
    assert!(text(&refused.stderr).contains("not ready: shutting down"), "{}", text(&refused.stderr));
    drop(program);
    let gone = ready();
    assert_eq!(gone.status.code(), Some(1));
    assert!(text(&gone.stderr).contains(&format!("failed to query {address}")), "{}", text(&gone.stderr));
}

/// Runs the program under another name, as the image's links do.
fn under_the_name(name: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let directory = tempfile::tempdir().unwrap();
    let link = directory.path().join(name);
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_blog-app"), &link).unwrap();
    let output = std::process::Command::new(link).args(arguments).output().unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn as_curl_and_as_a_shell_it_answers_health_checks_and_nothing_else() {
    let place = place();
    let program = Program::start(&["serve"], &[("BLOG_DATABASE_URL", &place.url)]);
    let (hello, nowhere) =
        (format!("http://{}/hello", program.pages), format!("http://{}/nowhere", program.pages));
    let curl = |arguments: &[&str]| under_the_name("curl", arguments);
    assert_eq!(curl(&["--fail", &hello]), (Some(0), "Hello, World!".into(), String::new()));
    assert_eq!(curl(&["-sSf", "-o", "/dev/null", &hello]), (Some(0), String::new(), String::new()));
    let (code, _, reason) = curl(&["-f", &nowhere]);
    assert!(code == Some(22) && reason.contains("404"), "{code:?} {reason}");
    assert_eq!(curl(&["-f", "-s", &nowhere]), (Some(22), String::new(), String::new()));
    assert_eq!(curl(&[&nowhere]).0, Some(0), "without --fail an error is an answer");
    assert_eq!(
        curl(&["--upload-file", "/etc/passwd", &hello]).0,
        Some(2),
        "what it doesn't know, it refuses"
    );
    let shell = |line: &str| under_the_name("sh", &["-c", line]);
    assert_eq!(shell(&format!("curl -f {hello} || exit 1")).0, Some(0));
    assert_eq!(shell(&format!("curl -f {nowhere} || exit 1")).0, Some(1));
    let (code, _, reason) = shell("ls /");
    assert!(code == Some(127) && reason.contains("kubectl debug"), "{code:?} {reason}");
    assert_eq!(under_the_name("sh", &[]).0, Some(127));
    drop(program);
    assert_eq!(curl(&["-f", &hello]).0, Some(7));
}

#[test]
fn a_person_who_presses_ctrl_c_does_not_wait_for_the_drain() {
    let place = place();
    let mut program =
        Program::start(&["serve"], &[("BLOG_DATABASE_URL", &place.url), ("BLOG_DRAIN_SECONDS", "3600")]);
    assert_eq!(program.readiness().0, 200);
    program.signal("INT"); // Ctrl-C
    assert!(program.wait().success());
}

#[test]
fn a_request_in_flight_is_finished_before_the_end() {
    let place = place();
    let mut program =
        Program::start(&["serve"], &[("BLOG_DATABASE_URL", &place.url), ("BLOG_DRAIN_SECONDS", "0")]);
    let mut slow = TcpStream::connect(program.pages).unwrap();
    let head = "POST /auth/register HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n\
                Expect: 100-continue\r\nContent-Length: 23\r\n\r\n";
    slow.write_all(head.as_bytes()).unwrap();
    // "100 Continue" means that the handler has begun to read the body.
    let mut begun = [0; 25];
    std::io::Read::read_exact(&mut slow, &mut begun).unwrap();
    program.terminate();
    eventually("the listener is closed", || TcpStream::connect(program.pages).err());
    slow.write_all(b"username=bob&password=x").unwrap();
    let (status, answer) = read(&mut slow);
    assert_eq!(status, 302, "{answer}");
    assert!(program.wait().success());
}

fn resident_mib(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() / 1024
}

/// Fault case 19: each connection costs its buffers, and later ones are still served.
#[test]
fn ten_thousand_idle_connections_keep_nobody_out_and_fit_into_the_containers_memory() {
    rlimit::increase_nofile_limit(10_500).unwrap();
    let place = place();
    let program = Program::start(&["serve"], &[("BLOG_DATABASE_URL", &place.url)]);
    // Many in parallel: a client that finds the queue full waits for a second, which must not delay the others.
    let connect = || (0..250).map(|_| TcpStream::connect(program.pages).unwrap()).collect::<Vec<_>>();
    let idle: Vec<TcpStream> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..40).map(|_| scope.spawn(connect)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let (status, page) = get(program.pages, "/");
    assert!(status == 200 && page.contains("Flaskr"), "{page}");
    let mib = resident_mib(program.child.id());
    // In a release build it is half of that.
    assert!(mib < 256, "{mib} MiB for {} connections", idle.len());
}

#[test]
fn logs_hold_no_secret_no_name_and_no_text() {
    let place = place();
    let settings = [
        ("BLOG_DATABASE_URL", place.url.as_str()),
        ("FLASK_APP_SECRET_KEY", "key-qzxj"),
        ("BLOG_LOG", "debug"),
        ("BLOG_DRAIN_SECONDS", "0"),
    ];
    let mut program = Program::start(&["serve"], &settings);
    let address = program.pages;
    let credentials = "username=name-qzxj&password=pass-qzxj";
    assert_eq!(post(address, "/auth/register", "", credentials).0, 302);
    assert_eq!(post(address, "/auth/register", "", credentials).0, 200);
    assert_eq!(post(address, "/auth/login", "", "username=name-qzxj&password=wrong-qzxj").0, 200);
    let answer = post(address, "/auth/login", "", credentials).1;
    let cookie = answer.split("set-cookie: ").nth(1).and_then(|rest| rest.split(';').next()).unwrap();
    assert_eq!(post(address, "/create", cookie, "title=title-qzxj&body=body-qzxj").0, 302);
    assert_eq!(post(address, "/create", cookie, "title=title-qzxj").0, 400);
    assert_eq!(get(address, "/path-qzxj?query-qzxj").0, 404);
    program.terminate();
    assert!(program.wait().success());
    let log = eventually("the log is complete", || Some(program.log()).filter(|log| log.contains("stopped")));
    assert!(log.matches("\"message\":\"request\"").count() == 7, "{log}");
    let signature = cookie.rsplit('.').next().unwrap();
    assert!(!log.contains("qzxj") && !log.contains(signature), "{log}");
}

#[tokio::test]
async fn a_schema_from_the_future_is_refused() {
    let place = place();
    let database = crate::backend::connect(&place.url);
    execute(&database, "CREATE TABLE blog_schema (version INT PRIMARY KEY, compatible_from INT)").await;
    execute(&database, "INSERT INTO blog_schema VALUES (99, 98)").await;
    let output = run(&["serve"], &[("BLOG_DATABASE_URL", &place.url)]);
    assert_eq!(output.status.code(), Some(1));
    let message = text(&output.stderr);
    assert!(message.contains("version 99") && message.contains("supports 1 to 4"), "{message}");
}

#[test]
fn wrong_usage_wrong_settings_and_failures_have_different_exit_codes() {
    assert_eq!(run(&["--colour"], &[]).status.code(), Some(2));
    assert_eq!(run(&["serve", "--listen", "nowhere"], &[]).status.code(), Some(2));
    let output = run(&["serve"], &[("BLOG_DATABASE_URL", "postgres://u:s3cret@h/d")]);
    assert_eq!(output.status.code(), Some(1));
    let message = text(&output.stderr);
    assert!(message.contains("mysql://USER") && !message.contains("s3cret"), "{message}");
    let output = run(&["serve"], &[("BLOG_DATABASE_URL", "mysql://u:s3cret@127.0.0.1:1/d")]);
    assert!(text(&output.stderr).contains("set BLOG_SESSION_KEY_FILE"), "{}", text(&output.stderr));
}

#[test]
fn a_place_where_no_file_can_be_is_named() {
    let output = run(&["serve"], &[("BLOG_DATABASE_URL", "sqlite:/nowhere/at/all.sqlite")]);
    assert_eq!(output.status.code(), Some(1));
    let message = text(&output.stderr);
    assert!(message.contains("/nowhere/at/all.sqlite"), "{message}");
}

#[test]
fn help_shows_examples_and_no_value_of_a_secret() {
    let output = run(&["serve", "--help"], &[("BLOG_DATABASE_URL", "mysql://u:s3cret@h/d")]);
    assert!(!text(&output.stdout).contains("s3cret"));
    let output = run(&["--help"], &[]);
    assert!(text(&output.stdout).contains("Examples:"));
    assert!(text(&run(&["completions", "bash"], &[]).stdout).contains("complete -F"));
}

#[test]
fn migrate_leaves_the_schema_version_as_its_last_words_where_there_is_a_place_for_them() {
    let place = place();
    let words = tempfile::NamedTempFile::new().unwrap();
    let settings =
        [("BLOG_DATABASE_URL", place.url.as_str()), ("BLOG_TERMINATION_LOG", words.path().to_str().unwrap())];
    assert!(run(&["migrate"], &settings).status.success());
    let version = blog_app::SUPPORTED_SCHEMA.end();
    assert_eq!(std::fs::read_to_string(words.path()).unwrap(), format!("schema version {version}\n"));
    let missing = [settings[0], ("BLOG_TERMINATION_LOG", "/nowhere/termination-log")];
    assert!(run(&["migrate"], &missing).status.success());
}

#[test]
fn migrate_works_on_the_embedded_database_too_and_gives_up_on_time() {
    let place = place();
    assert!(run(&["migrate"], &[("BLOG_DATABASE_URL", &place.url)]).status.success());
    let settings = [("BLOG_DATABASE_URL", "mysql://u:s3cret@127.0.0.1:1/d")];
    let output = run(&["migrate", "--timeout", "1s"], &settings);
    assert_eq!(output.status.code(), Some(1));
    let message = text(&output.stderr);
    assert!(
        message.contains("gave up on the database after 1 s") && !message.contains("s3cret"),
        "{message}"
    );
}

/// As in the image, which has no certificates.
#[test]
fn a_server_that_nothing_can_verify_is_refused_with_what_to_set() {
    let settings = [
        ("BLOG_DATABASE_URL", "mysql://u:s3cret@127.0.0.1:1/d"),
        ("BLOG_DATABASE_TLS", "VerifyIdentity"),
        ("SSL_CERT_FILE", "/nowhere/certificates.pem"),
    ];
    let output = run(&["migrate", "--timeout", "1s"], &settings);
    assert_eq!(output.status.code(), Some(1));
    let message = text(&output.stderr);
    assert!(
        message.contains("this system has no certificates to verify by: set BLOG_DATABASE_CA_FILE"),
        "{message}"
    );
}

#[test]
fn an_embedded_database_has_no_password_to_discard() {
    let place = place();
    let output = run(&["discard-previous-password"], &[("BLOG_DATABASE_URL", &place.url)]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("on SQLite, which has no passwords"), "{}", text(&output.stderr));
}

#[test]
fn two_that_start_at_once_on_one_file_share_its_sessions() {
    let place = place();
    let settings = [("BLOG_DATABASE_URL", place.url.as_str())];
    let (one, two) = std::thread::scope(|scope| {
        let start = || Program::start(&["serve"], &settings);
        let (one, two) = (scope.spawn(start), scope.spawn(start));
        (one.join().unwrap(), two.join().unwrap())
    });
    let credentials = "username=bob&password=x";
    assert_eq!(post(one.pages, "/auth/register", "", credentials).0, 302);
    let answer = post(one.pages, "/auth/login", "", credentials).1;
    let cookie = answer.split("set-cookie: ").nth(1).and_then(|rest| rest.split(';').next()).unwrap();
    assert_eq!(post(two.pages, "/create", cookie, "title=t&body=").0, 302);
}
