//! What all pages have in common.

use axum::body::Body;
use axum::http::{Request, StatusCode};

use super::Blog;

#[tokio::test]
async fn hello_says_what_flaskr_says() {
    let blog = Blog::new().await;
    assert_eq!(blog.browser().get("/hello").await.body, "Hello, World!");
}

#[tokio::test]
async fn every_answer_carries_the_security_headers() {
    let blog = Blog::with_post().await;
    let mut browser = blog.browser();
    for path in ["/", "/auth/login", "/create", "/nowhere", "/hello", "/static/style.css", "/?before=x"] {
        let answer = browser.get(path).await;
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("referrer-policy"), Some("same-origin"), "{path}");
        assert!(answer.header("x-request-id").is_some_and(|id| id.len() == 32), "{path}");
    }
}

#[tokio::test]
async fn no_page_needs_an_inline_script_or_style() {
    let blog = Blog::with_post().await;
    let mut browser = blog.browser_of("test").await;
    for path in [
        "/",
        "/1",
        "/author/1",
        "/auth/login",
        "/auth/register",
        "/auth/logout",
        "/auth/password",
        "/create",
        "/1/update",
        "/nowhere",
    ] {
        let page = browser.get(path).await;
        assert!(page.contains("<!doctype html>"), "{path}");
        for forbidden in ["<script", "<style", " style=", " onclick=", " onsubmit=", "javascript:"] {
            assert!(!page.contains(forbidden), "{forbidden} in {path}");
        }
    }
}

#[tokio::test]
async fn pages_of_members_are_kept_by_nobody() {
    let blog = Blog::with_post().await;
    let mut member = blog.browser_of("test").await;
    for path in ["/", "/create", "/nowhere"] {
        assert_eq!(member.get(path).await.header("cache-control"), Some("private, no-store"), "{path}");
    }
    assert_eq!(blog.browser().get("/").await.header("cache-control"), Some("no-cache"));
}

#[tokio::test]
async fn the_style_sheet_may_be_cached_for_ever_at_the_address_that_pages_name() {
    let blog = Blog::new().await;
    let mut browser = blog.browser();
    let page = browser.get("/").await;
    let link = page.body.split("<link rel=\"stylesheet\" href=\"").nth(1).unwrap();
    let named = browser.get(link.split('"').next().unwrap()).await;
    assert_eq!(named.header("content-type"), Some("text/css; charset=utf-8"));
    assert_eq!(named.header("cache-control"), Some("public, max-age=31536000, immutable"));
    let plain = browser.get("/static/style.css").await;
    assert_eq!((plain.body == named.body, plain.header("cache-control")), (true, Some("no-cache")));
    let old = browser.get("/static/style.css?v=000000000000").await;
    assert_eq!(old.header("cache-control"), Some("no-cache"));
    for missing in ["/static/", "/static/x", "/static/..%2fCargo.toml"] {
        assert_eq!(browser.get(missing).await.status, StatusCode::NOT_FOUND, "{missing}");
    }
}

#[tokio::test]
async fn errors_have_a_page_of_the_site_that_knows_who_is_logged_in() {
    let blog = Blog::with_post().await;
    let answer = blog.browser_of("test").await.get("/nowhere").await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert!(answer.contains("<h1>Not Found</h1>") && answer.contains("<span>test</span>"));
    let put = Request::put("/create").body(Body::empty()).unwrap();
    let answer = blog.browser().send(put).await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(answer.header("allow"), Some("GET,HEAD,POST"));
    assert!(answer.contains("<h1>Method Not Allowed</h1>"));
}

#[tokio::test]
async fn an_internal_error_tells_nothing_of_the_inside() {
    let blog = Blog::with_post().await;
    blog.execute("DROP TABLE post").await;
    let answer = blog.browser().get("/").await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(answer.contains("<h1>Internal Server Error</h1>"));
    for secret in ["post", "SQL", "table", "SELECT", "1146"] {
        assert!(!answer.contains(secret), "{secret} in {}", answer.body);
    }
}

#[tokio::test]
async fn a_request_id_from_a_proxy_is_handed_back_if_it_is_sane() {
    let blog = Blog::new().await;
    let mut browser = blog.browser().with("x-request-id", "abc-1");
    assert_eq!(browser.get("/hello").await.header("x-request-id"), Some("abc-1"));
    let mut browser = blog.browser().with("x-request-id", "a b\"{}");
    assert_ne!(browser.get("/hello").await.header("x-request-id"), Some("a b\"{}"));
}

#[tokio::test]
async fn a_head_request_is_answered_like_a_get_without_the_body() {
    let blog = Blog::with_post().await;
    let answer = blog.browser().send(Request::head("/").body(Body::empty()).unwrap()).await;
    assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, ""));
}
