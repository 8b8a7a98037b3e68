//! The database becomes unavailable, returns, or hangs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use blog_app::db::Database;
use blog_app::routes::health::{Readiness, router};
use blog_app::telemetry::metrics::Metrics;
use sqlx::Executor;

use crate::backend::{TestDatabase, as_root, root_url};
use crate::program::{Program, eventually, get, post, run};
use crate::proxy::Proxy;
use crate::suite::{Blog, keys};

/// A little longer than pages and readiness results are cached.
const FRESH: Duration = Duration::from_millis(1100);

async fn blog_behind_proxy() -> (Blog, Proxy) {
    let direct = Blog::with_post().await;
    let proxy = Proxy::start().await;
    let database = crate::backend::connect(&proxy.url(&direct.database.url));
    (Blog::with(database, Arc::clone(&direct.database), keys("key", None)), proxy)
}

#[tokio::test]
async fn without_its_database_the_blog_answers_503_and_recovers_by_itself() {
    let (blog, proxy) = blog_behind_proxy().await;
    let mut browser = blog.browser_of("test").await;
    proxy.cut().await;
    for path in ["/", "/create", "/1/update", "/1", "/author/1", "/feed.atom"] {
        let answer = browser.get(path).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert_eq!(answer.header("retry-after"), Some("5"));
        assert!(answer.contains("<h1>Service Unavailable</h1>"), "{}", answer.body);
    }
    proxy.restore();
    let answer = browser.get("/").await;
    assert_eq!((answer.status, answer.titles()), (StatusCode::OK, vec!["test title".to_owned()]));
}

#[tokio::test]
async fn pages_that_were_read_before_are_shown_with_a_banner_and_the_status_tells_the_truth() {
    let (blog, proxy) = blog_behind_proxy().await;
    let mut member = blog.browser_of("test").await;
    for path in ["/", "/1", "/author/1"] {
        assert_eq!(blog.browser().get(path).await.status, StatusCode::OK, "{path}");
    }
    proxy.cut().await;
    // Until the cached pages are no longer fresh.
    tokio::time::sleep(FRESH).await;
    for mut browser in [blog.browser(), member.clone()] {
        for path in ["/", "/1", "/author/1"] {
            let answer = browser.get(path).await;
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
            assert_eq!(
                (answer.header("retry-after"), answer.header("cache-control")),
                (Some("5"), Some("no-store"))
            );
            assert!(
                answer.flash().contains("can't reach its database at the moment. This is the page as it was")
            );
            assert!(answer.contains("test title") && answer.contains("test\nbody"), "{}", answer.body);
        }
    }
    let unread = blog.browser().get("/2").await;
    assert!(unread.contains("<h1>Service Unavailable</h1>"), "{}", unread.body);
    proxy.restore();
    tokio::time::sleep(FRESH).await;
    let answer = member.get("/").await;
    assert!(answer.status == StatusCode::OK && !answer.contains("can't reach"), "{}", answer.body);
}

#[tokio::test]
async fn what_was_written_comes_back_in_the_form_when_it_cannot_be_saved() {
    let (blog, proxy) = blog_behind_proxy().await;
    let mut member = blog.browser_of("test").await;
    proxy.cut().await;
    let typed = [("title", "My <title>"), ("body", "hours\nof work")];
    for path in ["/create", "/1/update"] {
        let answer = member.post(path, &typed).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert!(answer.header("retry-after").is_some());
        assert!(answer.flash().contains("please press Save again"), "{path}: {}", answer.flash());
        assert_eq!(
            (answer.field("title").as_str(), answer.field("body").as_str()),
            ("My <title>", "hours\nof work")
        );
    }
    let stranger = blog.browser().post("/create", &typed).await;
    assert_eq!(stranger.status, StatusCode::UNAUTHORIZED, "an anonymous request gets a login form");
    assert_eq!(stranger.field("body"), "hours\nof work");
    proxy.restore();
    for path in ["/create", "/1/update"] {
        assert_eq!(member.post(path, &typed).await.location(), "/", "{path}");
    }
}

#[tokio::test]
async fn a_name_that_was_typed_comes_back_in_the_form_and_the_password_does_not() {
    let (blog, proxy) = blog_behind_proxy().await;
    let member = blog.browser_of("test").await;
    proxy.cut().await;
    let typed = [("username", "My <name>"), ("password", "p4ssw0rd")];
    for mut browser in [blog.browser(), member] {
        for path in ["/auth/login", "/auth/register"] {
            let answer = browser.post(path, &typed).await;
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
            assert_eq!(
                (answer.header("retry-after"), answer.header("cache-control")),
                (Some("5"), Some("private, no-store"))
            );
            assert!(answer.flash().contains("please type the password"), "{path}: {}", answer.flash());
            assert_eq!(answer.field("username"), "My <name>");
            assert!(!answer.contains("p4ssw0rd"), "{}", answer.body);
        }
    }
    proxy.restore();
    assert_eq!(blog.browser().post("/auth/register", &typed).await.location(), "/auth/login");
}

#[tokio::test]
async fn what_needs_no_database_works_without_it() {
    let (blog, proxy) = blog_behind_proxy().await;
    let mut member = blog.browser_of("test").await;
    proxy.cut().await;
    for path in ["/hello", "/auth/login", "/auth/register", "/static/style.css"] {
        assert_eq!(blog.browser().get(path).await.status, StatusCode::OK, "{path}");
    }
    assert_eq!(blog.browser().get("/create").await.location(), "/auth/login");
    assert_eq!(member.post("/auth/logout", &[]).await.location(), "/");
}

#[tokio::test]
async fn the_first_read_and_the_first_write_after_a_restart_of_the_server_work() {
    let (blog, proxy) = blog_behind_proxy().await;
    let browser = blog.browser_of("test").await;
    // Many in parallel, so that the pool is full of connections that the cut then kills.
    let readers: Vec<_> = (0..20)
        .map(|_| {
            let mut browser = browser.clone();
            tokio::spawn(async move { browser.get("/").await.status })
        })
        .collect();
    for reader in readers {
        assert_eq!(reader.await.unwrap(), StatusCode::OK);
    }
    for path in ["write", "read"] {
        proxy.cut().await;
        proxy.restore();
        let mut browser = browser.clone();
        if path == "read" {
            assert_eq!(browser.get("/").await.status, StatusCode::OK);
        } else {
            assert_eq!(browser.post("/create", &[("title", "t"), ("body", "")]).await.location(), "/");
        }
    }
}

#[tokio::test]
async fn a_database_that_hangs_costs_bounded_time() {
    let (blog, proxy) = blog_behind_proxy().await;
    let mut browser = blog.browser();
    assert_eq!(browser.get("/").await.status, StatusCode::OK);
    tokio::time::sleep(FRESH).await;
    proxy.stick();
    let started = Instant::now();
    let readiness = Readiness::new(blog.app.database.clone());
    let (answer, reasons) = tokio::join!(browser.get("/"), readiness.reasons());
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(!reasons.is_empty());
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    proxy.restore();
    tokio::time::sleep(FRESH).await;
    assert_eq!(browser.get("/").await.status, StatusCode::OK);
}

#[tokio::test]
async fn readiness_follows_the_database_there_and_back() {
    let (blog, proxy) = blog_behind_proxy().await;
    let database = || blog.app.database.clone();
    assert!(Readiness::new(database()).reasons().await.is_empty());
    proxy.cut().await;
    let reasons = Readiness::new(database()).reasons().await;
    assert!(reasons[0].contains("the database is not available"), "{reasons:?}");
    proxy.restore();
    assert!(Readiness::new(database()).reasons().await.is_empty());
}

#[tokio::test]
async fn a_replica_that_was_ready_stays_in_the_load_balancer_while_the_database_is_away() {
    let (blog, proxy) = blog_behind_proxy().await;
    let readiness = Readiness::new(blog.app.database.clone());
    assert!(readiness.is_serving().await);
    proxy.cut().await;
    // Until the last readiness result has expired.
    tokio::time::sleep(FRESH).await;
    assert_ne!(readiness.reasons().await, Vec::<String>::new());
    assert!(readiness.is_serving().await);
    proxy.restore();
}

/// A client that hangs up leaves its connection in an unknown state.
///
/// It must not keep its slot in the pool.
#[tokio::test]
async fn a_server_lost_without_a_word_costs_no_place_in_the_pool_for_ever() {
    let (blog, proxy) = blog_behind_proxy().await;
    let browser = blog.browser();
    let fill: Vec<_> = (0..20)
        .map(|_| {
            tokio::spawn({
                let mut browser = browser.clone();
                async move { browser.get("/").await.status }
            })
        })
        .collect();
    for one in fill {
        assert_eq!(one.await.unwrap(), StatusCode::OK);
    }
    proxy.strand();
    for _ in 0..30 {
        let mut impatient = browser.clone();
        let _ = tokio::time::timeout(Duration::from_millis(20), impatient.get("/")).await;
    }
    let started = Instant::now();
    while browser.clone().get("/").await.status != StatusCode::OK {
        assert!(started.elapsed() < Duration::from_secs(30), "no connection is left to try");
    }
}

/// A refused login differs from an unavailable server: no stale page is shown, so that the error is noticed.
#[tokio::test]
async fn a_replica_whose_password_is_refused_leaves_the_load_balancer() {
    let direct = Blog::with_post().await;
    let (name, proxy) = (direct.database.name().to_owned(), Proxy::start().await);
    let user = name.replace("blog_test_", "r");
    as_root(&format!("CREATE USER {user}@'%' IDENTIFIED BY 'old'")).await;
    as_root(&format!("GRANT SELECT ON {name}.* TO {user}@'%'")).await;
    let address = root_url().rsplit('@').next().unwrap().to_owned();
    let database = crate::backend::connect(&proxy.url(&format!("mysql://{user}:old@{address}/{name}")));
    let readiness = Readiness::new(database);
    assert!(readiness.is_serving().await);
    proxy.cut().await;
    as_root(&format!("ALTER USER {user}@'%' IDENTIFIED BY 'new'")).await;
    proxy.restore();
    let deadline = Instant::now() + Duration::from_secs(20);
    while readiness.is_serving().await {
        assert!(Instant::now() < deadline, "it still serves");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    as_root(&format!("DROP USER {user}@'%'")).await;
}

/// After a failover the old primary still answers, but accepts no writes.
#[tokio::test]
async fn a_server_that_became_read_only_is_noticed_and_left() {
    let blog = Blog::with_post().await;
    let mut member = blog.browser_of("test").await;
    let Database::MySql(server) = &blog.app.database else { panic!("this suite runs on MySQL") };
    let pool = server.pool();
    let count = pool.num_idle();
    let mut old = Vec::new();
    for _ in 0..count {
        let mut connection = pool.acquire().await.unwrap();
        connection.execute("SET SESSION transaction_read_only = ON").await.unwrap();
        old.push(connection);
    }
    drop(old);
    while pool.num_idle() < count {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let form = [("title", "t"), ("body", "typed")];
    let refused = member.post("/create", &form).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE, "{}", refused.body);
    assert_eq!(refused.field("body"), "typed");
    // Each refusal costs one connection to the old primary, so that soon none is left.
    let mut tries = 1;
    while member.post("/create", &form).await.status != StatusCode::FOUND {
        tries += 1;
        assert!(tries <= count, "it stays with the old primary");
    }
}

/// Settings of a program that reaches its database through the proxy.
fn settings<'a>(url: &'a str, key: &'a str) -> [(&'a str, &'a str); 3] {
    [("BLOG_DATABASE_URL", url), ("BLOG_SESSION_KEY_FILE", key), ("BLOG_DRAIN_SECONDS", "0")]
}

fn key_file() -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), [7; 64]).unwrap();
    file
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blog_that_starts_before_its_database_is_live_and_becomes_ready() {
    let database = Blog::new().await.database;
    let proxy = Proxy::start_cut().await;
    let (url, key) = (proxy.url(&database.url), key_file());
    let mut program = Program::start(&["serve"], &settings(&url, key.path().to_str().unwrap()));
    assert_eq!(get(program.admin, "/healthz").0, 200);
    assert_eq!(program.readiness().0, 503);
    assert_eq!(get(program.pages, "/").0, 503);
    proxy.restore();
    eventually("it is ready", || (program.readiness().0 == 200).then_some(()));
    assert_eq!(post(program.pages, "/auth/register", "", "username=bob&password=x").0, 302);
    program.terminate();
    assert!(program.wait().success());
    assert!(program.log().contains("starting without the database"), "{}", program.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn migrate_waits_for_the_database() {
    let database = TestDatabase::create().await;
    let proxy = Proxy::start_cut().await;
    let (url, key) = (proxy.url(&database.url), key_file());
    let waiting = tokio::task::spawn_blocking({
        let url = url.clone();
        move || run(&["migrate"], &[("BLOG_DATABASE_URL", &url)])
    });
    // The program refuses to serve before the change and serves after it.
    let refused = run(&["serve"], &settings(&database.url, key.path().to_str().unwrap()));
    let message = String::from_utf8_lossy(&refused.stderr);
    assert!(message.contains("version 0") && message.contains("run `blog-app migrate`"), "{message}");
    assert_eq!(refused.status.code(), Some(1));
    proxy.tried().await;
    proxy.restore();
    let migrated = waiting.await.unwrap();
    let log = String::from_utf8_lossy(&migrated.stderr);
    assert!(migrated.status.success() && log.contains("waiting for the database"), "{log}");
    let program = Program::start(&["serve"], &settings(&url, key.path().to_str().unwrap()));
    assert_eq!(get(program.pages, "/").0, 200);
}

/// With the blog's own account and no other permission: every account may read the status.
#[tokio::test]
async fn what_mysql_says_of_itself_is_among_the_figures_while_it_answers_and_only_then() {
    let (blog, proxy) = blog_behind_proxy().await;
    let database = blog.app.database.clone();
    let admin = router(Arc::new(Readiness::new(database.clone())), Metrics::default(), database);
    let figures = async || {
        let request = axum::http::Request::get("/metrics").body(axum::body::Body::empty()).unwrap();
        let answer = tower::ServiceExt::oneshot(admin.clone(), request).await.unwrap();
        let body = http_body_util::BodyExt::collect(answer.into_body()).await.unwrap().to_bytes();
        String::from_utf8(body.to_vec()).unwrap()
    };
    let text = figures().await;
    for line in [
        "blog_database_up 1",
        "# TYPE blog_mysql_uptime_seconds gauge",
        "# TYPE blog_mysql_questions counter",
        "blog_mysql_questions_total ",
        "blog_mysql_slow_queries_total ",
        "blog_mysql_aborted_connects_total ",
        "blog_mysql_threads_connected ",
        "blog_mysql_threads_running ",
        "blog_mysql_innodb_buffer_pool_read_requests_total ",
        "blog_mysql_innodb_buffer_pool_reads_total ",
    ] {
        assert!(text.contains(line), "{line} not in {text}");
    }
    proxy.cut().await;
    tokio::time::sleep(FRESH).await;
    let text = figures().await;
    assert!(text.contains("blog_database_up 0") && !text.contains("blog_mysql_"), "{text}");
}
