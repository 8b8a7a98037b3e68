//! The admin port.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use blog_app::health::{Readiness, router};
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
    assert_eq!(get(&admin, "/readyz").await, (StatusCode::OK, "ready\n".to_owned()));
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
    let admin = router(readiness, blog_app::metrics::Metrics::default(), connected);
    let (status, text) = get(&admin, "/metrics").await;
    assert_eq!(status, StatusCode::OK);
    assert!(text.contains("blog_database_up 0") && !text.contains("blog_mysql_"), "{text}");
}
