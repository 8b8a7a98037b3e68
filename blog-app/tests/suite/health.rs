//! The admin port.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use blog_app::routes::health::{Readiness, router};
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::{Blog, execute};
use crate::backend::TestDatabase;

async fn get(router: &Router, path: &str) -> (StatusCode, String) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

fn admin(blog: &Blog) -> (Arc<Readiness>, Router) {
    let database = blog.app.database.clone();
    let readiness = Arc::new(Readiness::new(database.clone()));
    (Arc::clone(&readiness), router(readiness, blog.app.metrics.clone(), database))
}

#[tokio::test]
async fn a_blog_with_its_schema_is_live_and_ready_until_it_drains() {
    let blog = Blog::new().await;
    let (readiness, admin) = admin(&blog);
    assert_eq!(get(&admin, "/healthz").await, (StatusCode::OK, "ok\n".to_owned()));
    let ready = format!("ready\nschema version {}\n", blog_app::SUPPORTED_SCHEMA.end());
    assert_eq!(get(&admin, "/readyz").await, (StatusCode::OK, ready));
    assert_eq!(get(&admin, "/serving").await, (StatusCode::OK, "serving\n".to_owned()));
    readiness.drain();
    assert_eq!(get(&admin, "/serving").await.0, StatusCode::SERVICE_UNAVAILABLE);
    let expected = (StatusCode::SERVICE_UNAVAILABLE, "shutting down\n".to_owned());
    assert_eq!(get(&admin, "/readyz").await, expected);
    assert_eq!(get(&admin, "/healthz").await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_schema_out_of_range_is_named_as_the_reason_not_to_be_ready() {
    let database = TestDatabase::create().await;
    let connected = database.connect();
    let readiness = Readiness::new(connected.clone());
    assert!(!readiness.is_serving().await, "a replica that never saw its schema must prove itself first");
    let reasons = readiness.reasons().await;
    assert!(reasons[0].contains("version 0") && reasons[0].contains("blog-app migrate"), "{reasons:?}");
    execute(&connected, "CREATE TABLE blog_schema (version INT, compatible_from INT)").await;
    execute(&connected, "INSERT INTO blog_schema VALUES (99, 98)").await;
    let reasons = Readiness::new(connected.clone()).reasons().await;
    assert!(reasons[0].contains("version 99"), "{reasons:?}");
}

#[tokio::test]
async fn requests_are_counted_by_route_and_not_by_address() {
    let blog = Blog::with_post().await;
    let (_, admin) = admin(&blog);
    let mut browser = blog.browser();
    for path in ["/1/update", "/2/update", "/nowhere/1", "/nowhere/2"] {
        browser.get(path).await;
    }
    let (status, text) = get(&admin, "/metrics").await;
    assert_eq!(status, StatusCode::OK);
    for line in [
        "blog_http_requests_total{route=\"/{id}/update\",method=\"GET\",status=\"302\"} 2",
        "blog_http_requests_total{route=\"unmatched\",method=\"GET\",status=\"404\"} 2",
        "blog_http_request_duration_seconds_count{route=\"/{id}/update\"} 2",
        "blog_build_info{version=",
        "blog_database_up 1",
        "blog_database_connections ",
        "blog_database_connections_idle ",
    ] {
        assert!(text.contains(line), "{line} not in {text}");
    }
}

#[tokio::test]
async fn the_figures_tell_that_the_database_is_not_usable() {
    let database = TestDatabase::create().await;
    let connected = database.connect();
    let readiness = Arc::new(Readiness::new(connected.clone()));
    let admin = router(readiness, blog_app::telemetry::metrics::Metrics::default(), connected);
    let (status, text) = get(&admin, "/metrics").await;
    assert_eq!(status, StatusCode::OK);
    assert!(text.contains("blog_database_up 0") && !text.contains("blog_mysql_"), "{text}");
}

/// What `/readyz` reports of a database after these statements, line by line.
async fn reasons_after(statements: &[&str]) -> Vec<String> {
    let blog = Blog::with_post().await;
    for statement in statements {
        blog.execute(statement).await;
    }
    let (_, admin) = admin(&blog);
    let (status, body) = get(&admin, "/readyz").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{statements:?}: {body}");
    body.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn readyz_names_a_lost_table_and_the_way_out() {
    let (first, last) = (blog_app::SUPPORTED_SCHEMA.start(), blog_app::SUPPORTED_SCHEMA.end());
    let range = format!("found version {last}, this blog-app supports {first} to {last}");
    for (statements, table) in [
        (vec!["DROP TABLE post"], "post"),
        (vec!["DELETE FROM post", "DROP TABLE post", "DROP TABLE user"], ""),
    ] {
        let reasons = reasons_after(&statements).await;
        assert_eq!(reasons[1..], [format!("schema version {last}")], "the operator reports it");
        assert!(reasons[0].contains(&format!("has lost its table {table}")), "{reasons:?}");
        assert!(reasons[0].contains(&range) && reasons[0].contains("restore a backup"), "{reasons:?}");
    }
}

#[tokio::test]
async fn readyz_names_a_schema_without_rows_or_of_another_program() {
    let rowless = reasons_after(&["DELETE FROM blog_schema"]).await;
    assert!(rowless[0].contains("blog_schema has no row (found version 0"), "{rowless:?}");
    assert!(rowless[0].contains("run `blog-app migrate`"), "{rowless:?}");
    let foreign = reasons_after(&["DROP TABLE blog_schema", "CREATE TABLE blog_schema (x INT)"]).await;
    assert!(foreign[0].contains("blog_schema is not this blog's"), "{foreign:?}");
    let others = ["DROP TABLE post", "CREATE TABLE post (id INT, text INT)", "DROP TABLE blog_schema"];
    let foreign = reasons_after(&others).await;
    assert!(foreign[0].contains("user and post are not this blog's"), "{foreign:?}");
    assert!(foreign[0].contains("use another database"), "{foreign:?}");
}

#[tokio::test]
async fn migrate_repairs_lost_rows_and_refuses_lost_tables() {
    let run = async |blog: &Blog| {
        blog_app::store::migrate::migrate(&blog.app.database, &mut |_| std::ops::ControlFlow::Continue(()))
            .await
    };
    let blog = Blog::with_post().await;
    blog.execute("DELETE FROM blog_schema").await;
    run(&blog).await.unwrap();
    assert_eq!(Readiness::new(blog.app.database.clone()).reasons().await, Vec::<String>::new());
    blog.execute("DROP TABLE post").await;
    let error = run(&blog).await.unwrap_err().to_string();
    assert!(error.contains("has lost its table post"), "{error}");
}

#[tokio::test]
async fn writes_without_room_end_readiness_until_one_succeeds() {
    let blog = Blog::with_post().await;
    let blog =
        Blog::with(blog.database.connect_once().await, Arc::clone(&blog.database), super::keys("key", None));
    let mut member = blog.browser_of("test").await;
    crate::backend::fill_disk(&blog.app.database).await;
    let typed = [("title", "t"), ("body", &*"long ".repeat(10_000))];
    let answer = member.post("/create", &typed).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.body);
    assert_eq!(answer.field("body"), typed[1].1, "no text is lost");
    let (readiness, admin) = admin(&blog);
    let (status, body) = get(&admin, "/readyz").await;
    assert!(status == StatusCode::SERVICE_UNAVAILABLE && body.contains("has no room"), "{body}");
    assert_eq!(body.lines().count(), 1, "{body}");
    assert!(readiness.is_serving().await, "pages can be read");
    assert_eq!(blog.browser().get("/").await.status, StatusCode::OK);
    assert!(get(&admin, "/metrics").await.1.contains("blog_database_up 0"));
    let version = *blog_app::SUPPORTED_SCHEMA.end();
    let trial = blog_app::store::probe::try_space(&blog.app.database, version).await;
    assert!(trial.unwrap_err().is_out_of_space());
    crate::backend::empty_disk(&blog.app.database).await;
    blog_app::store::probe::try_space(&blog.app.database, version).await.unwrap();
    assert_eq!(blog.count("SELECT COUNT(*) FROM post").await, 1, "a trial leaves nothing behind");
    assert_eq!(member.post("/create", &typed).await.location(), "/");
    assert_eq!(Readiness::new(blog.app.database.clone()).reasons().await, Vec::<String>::new());
}
