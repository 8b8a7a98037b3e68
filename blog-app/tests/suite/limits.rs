//! Limits of requests, and bodies that aren't forms.

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::http::{Request, StatusCode};

use super::Blog;

#[tokio::test]
async fn the_longest_texts_are_kept_whole() {
    let blog = Blog::new().await;
    let (name, title, body) = ("🍣".repeat(255), "🍺".repeat(255), "🍵".repeat(65_536));
    blog.register(&name).await;
    let mut browser = blog.browser_of(&name).await;
    assert_eq!(browser.post("/create", &[("title", &title), ("body", &body)]).await.location(), "/");
    assert_eq!(blog.text("SELECT username FROM user").await, name);
    assert_eq!(blog.text("SELECT title FROM post").await, title);
    assert_eq!(blog.text("SELECT body FROM post").await, body);
}

#[tokio::test]
async fn longer_texts_are_refused_in_the_form_which_keeps_them() {
    let blog = Blog::with_post().await;
    let mut browser = blog.browser_of("test").await;
    let (title, body) = ("x".repeat(256), "y".repeat(65_537));
    for path in ["/create", "/1/update"] {
        let answer = browser.post(path, &[("title", &title), ("body", "b")]).await;
        assert_eq!(answer.flash(), "Title must be at most 255 characters long; it has 256.");
        assert_eq!(answer.field("title"), title);
        let answer = browser.post(path, &[("title", "t"), ("body", &body)]).await;
        assert_eq!(answer.flash(), "Body must be at most 65536 characters long; it has 65537.");
        assert_eq!(answer.field("body"), body);
    }
    assert_eq!(blog.count("SELECT COUNT(*) FROM post").await, 1);
}

#[tokio::test]
async fn names_and_passwords_have_limits_too() {
    let blog = Blog::new().await;
    let (long_name, long_password) = ("n".repeat(256), "p".repeat(1025));
    for (username, password, message) in [
        (long_name.as_str(), "x", "Username must be at most 255 characters long."),
        ("a\0b", "x", "Username must not contain control characters."),
        ("a\nb", "x", "Username must not contain control characters."),
        ("a", long_password.as_str(), "Password must be at most 1024 bytes long."),
    ] {
        let form = [("username", username), ("password", password)];
        let answer = blog.browser().post("/auth/register", &form).await;
        assert_eq!((answer.status, answer.flash().as_str()), (StatusCode::OK, message));
    }
    assert_eq!(blog.count("SELECT COUNT(*) FROM user").await, 0);
    let form = [("username", "a\0b"), ("password", long_password.as_str())];
    assert_eq!(blog.browser().post("/auth/login", &form).await.flash(), "Incorrect username.");
}

#[tokio::test]
async fn a_request_over_a_mebibyte_comes_back_in_its_form() {
    let blog = Blog::with_post().await;
    let mut browser = blog.browser_of("test").await;
    let body = "x".repeat(1024 * 1024);
    for path in ["/create", "/1/update"] {
        let answer = browser.post(path, &[("title", "t"), ("body", &body)]).await;
        assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(answer.flash(), "Body must be at most 65536 characters long; it has 1048576.");
        assert_eq!(answer.field("body"), body, "no text is lost");
    }
    assert_eq!(blog.count("SELECT COUNT(*) FROM post").await, 1);
}

#[tokio::test]
async fn a_request_over_four_mebibytes_is_refused_with_the_limit() {
    let blog = Blog::with_post().await;
    let mut browser = blog.browser_of("test").await;
    let answer = browser.post("/create", &[("title", "t"), ("body", &"x".repeat(4 * 1024 * 1024))]).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(
        answer.contains("<h1>Too Large</h1>") && answer.contains("at most 65536 characters"),
        "{}",
        answer.body
    );
    assert_eq!(answer.header("connection"), Some("close"));
}

fn stalled() -> Body {
    Body::from_stream(futures::stream::pending::<Result<Bytes, Infallible>>())
}

#[tokio::test]
async fn strangers_never_take_a_members_place() {
    let blog = Blog::with_post().await;
    let mut member = blog.browser_of("test").await;
    let paths = ["/auth/login", "/auth/register", "/auth/resume", "/create", "/1/update"];
    let strangers: Vec<_> = (0..blog_app::security::body_places::MEMBERS)
        .flat_map(|_| paths)
        .map(|path| {
            let mut browser = blog.browser();
            tokio::spawn(async move { browser.post_raw(path, stalled()).await })
        })
        .collect();
    while blog.app.places.strangers.available_permits() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(blog.app.places.members.available_permits(), blog_app::security::body_places::MEMBERS);
    let body = "x".repeat(60_000);
    assert_eq!(member.post("/create", &[("title", "large"), ("body", &body)]).await.location(), "/");
    for one in strangers {
        one.abort();
    }
}

#[tokio::test]
async fn a_login_needs_no_more_than_sixteen_kibibytes() {
    let blog = Blog::new().await;
    for path in ["/auth/login", "/auth/register"] {
        let body = format!("username=x&password={}", "x".repeat(16 * 1024));
        assert_eq!(blog.browser().post_raw(path, body).await.status, StatusCode::PAYLOAD_TOO_LARGE, "{path}");
    }
}

#[tokio::test]
async fn large_bodies_under_way_are_counted_and_small_ones_pass_by() {
    let blog = Blog::with_post().await;
    let browser = blog.browser_of("test").await;
    let stalled: Vec<_> = (0..blog_app::security::body_places::MEMBERS)
        .map(|_| {
            let mut browser = browser.clone();
            let never = Body::from_stream(futures::stream::pending::<Result<Bytes, Infallible>>());
            tokio::spawn(async move { browser.post_raw("/create", never).await })
        })
        .collect();
    while blog.app.places.members.available_permits() > 0 {
        tokio::task::yield_now().await;
    }
    let body = "x".repeat(60_000);
    let refused = browser.clone().post("/create", &[("title", "large"), ("body", &body)]).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(
        refused.header("retry-after").is_some() && refused.contains("Too many people"),
        "{}",
        refused.body
    );
    assert_eq!(browser.clone().post("/create", &[("title", "small"), ("body", "")]).await.location(), "/");
    for one in &stalled {
        one.abort();
    }
    while blog.app.places.members.available_permits() < blog_app::security::body_places::MEMBERS {
        tokio::task::yield_now().await;
    }
    assert_eq!(browser.clone().post("/create", &[("title", "large"), ("body", &body)]).await.location(), "/");
}

#[tokio::test]
async fn what_is_not_a_form_is_a_bad_request() {
    let blog = Blog::with_post().await;
    let mut browser = blog.browser_of("test").await;
    for body in ["", "title=x", "body=x", "title=%ff&body=x", "{\"title\":\"x\"}", "title&&&=;%"] {
        for path in ["/create", "/1/update"] {
            let answer = browser.post_raw(path, body).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path} {body}");
            assert!(answer.contains("<h1>Bad Request</h1>"));
        }
    }
    for path in ["/auth/login", "/auth/register"] {
        assert_eq!(blog.browser().post_raw(path, "username=x").await.status, StatusCode::BAD_REQUEST);
    }
    let bytes = Request::post("/create").body(Body::from(vec![0xff, 0xfe, b'='])).unwrap();
    assert_eq!(browser.send(bytes).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_body_that_never_ends_is_given_up_after_a_while() {
    let blog = Blog::new().await;
    let never = Body::from_stream(futures::stream::pending::<Result<Bytes, Infallible>>());
    // From here on the clock is paused: it jumps to the next timeout when no task can run.
    tokio::time::pause();
    let answer = blog.browser().post_raw("/auth/login", never).await;
    assert_eq!(answer.status, StatusCode::REQUEST_TIMEOUT);
    assert!(answer.contains("<h1>Request Timeout</h1>"));
}
