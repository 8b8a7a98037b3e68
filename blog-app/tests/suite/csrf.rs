//! Which requests count as our own.

use axum::http::StatusCode;

use super::Blog;

/// Headers of a request, and whether it may change something.
const CASES: &[(&[(&str, &str)], bool)] = &[
    // Programs send neither header.
    (&[("host", "localhost:30423")], true),
    // Browsers on localhost or TLS.
    (
        &[
            ("host", "localhost:30423"),
            ("origin", "http://localhost:30423"),
            ("sec-fetch-site", "same-origin"),
        ],
        true,
    ),
    (&[("host", "localhost:5000"), ("origin", "null"), ("sec-fetch-site", "same-origin")], true),
    (
        &[("host", "blog.example.org"), ("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")],
        false,
    ),
    (
        &[("host", "blog.example.org"), ("origin", "https://a.example.org"), ("sec-fetch-site", "same-site")],
        false,
    ),
    (&[("host", "blog.example.org"), ("sec-fetch-site", "cross-site")], false),
    // Browsers over plain HTTP to anything but localhost send only the origin.
    (&[("host", "192.168.1.7:30423"), ("origin", "http://192.168.1.7:30423")], true),
    (&[("host", "192.168.1.7:30423"), ("origin", "http://192.168.1.7:8080")], false),
    (&[("host", "192.168.1.7:30423"), ("origin", "http://evil.example")], false),
    (&[("host", "192.168.1.7:30423"), ("origin", "null")], false),
    // Behind a proxy that ends TLS and keeps the host.
    (
        &[
            ("host", "blog.example.org"),
            ("origin", "https://blog.example.org"),
            ("x-forwarded-proto", "https"),
        ],
        true,
    ),
];

#[tokio::test]
async fn forged_posts_are_refused_and_our_own_are_not() {
    let blog = Blog::with_post().await;
    let member = blog.browser_of("test").await;
    for (headers, allowed) in CASES {
        let mut browser = member.clone();
        for (name, value) in *headers {
            browser = browser.with(name, value);
        }
        let answer = browser.post("/create", &[("title", "t"), ("body", "")]).await;
        let expected = if *allowed { StatusCode::FOUND } else { StatusCode::FORBIDDEN };
        assert_eq!(answer.status, expected, "{headers:?}");
        assert!(*allowed || answer.contains("<h1>Forbidden</h1>"), "{}", answer.body);
    }
    let stored = i64::try_from(CASES.iter().filter(|(_, allowed)| *allowed).count()).unwrap();
    assert_eq!(blog.count("SELECT COUNT(*) FROM post WHERE title = 't'").await, stored);
}

#[tokio::test]
async fn no_route_takes_a_forged_post() {
    let blog = Blog::with_post().await;
    for path in [
        "/auth/register",
        "/auth/login",
        "/auth/logout",
        "/auth/password",
        "/auth/resume",
        "/create",
        "/1/update",
        "/1/delete",
    ] {
        let mut browser = blog.browser_of("test").await.with("sec-fetch-site", "cross-site");
        let form = [("username", "x"), ("password", "x"), ("title", "x"), ("body", "x")];
        assert_eq!(browser.post(path, &form).await.status, StatusCode::FORBIDDEN, "{path}");
        assert!(browser.cookie.is_some(), "{path}");
    }
    assert_eq!(blog.count("SELECT COUNT(*) FROM user").await, 2);
    assert_eq!(blog.text("SELECT title FROM post").await, "test title");
}

#[tokio::test]
async fn links_from_other_sites_work() {
    let blog = Blog::with_post().await;
    let mut browser = blog.browser().with("sec-fetch-site", "cross-site");
    assert_eq!(browser.get("/").await.status, StatusCode::OK);
}
