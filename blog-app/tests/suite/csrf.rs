//! Which requests count as the blog's own.

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
    // Behind a proxy that terminates TLS and keeps the host.
    (
        &[
            ("host", "blog.example.org"),
            ("origin", "https://blog.example.org"),
            ("x-forwarded-proto", "https"),
        ],
        true,
    ),
    // Old browsers send neither, but the address of their page.
    (&[("host", "192.168.1.7:30423"), ("referer", "http://192.168.1.7:30423/create")], true),
    (&[("host", "192.168.1.7:30423"), ("referer", "http://evil.example/192.168.1.7:30423")], false),
    (&[("host", "192.168.1.7:30423"), ("referer", "about:blank")], false),
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
        "/auth/logout-everywhere",
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

/// Behind a proxy that changes the host, over plain HTTP, so that browsers send only the origin.
#[tokio::test]
async fn forms_of_the_configured_address_are_accepted_under_any_host() {
    let blog = Blog::with_post().await.configured(|app| {
        std::sync::Arc::make_mut(&mut app.site).address = Some("https://Blog.example:443/".to_owned());
    });
    let member = blog.browser_of("test").await;
    for (headers, allowed) in [
        (&[("host", "backend"), ("origin", "https://blog.example")][..], true),
        (&[("host", "backend"), ("origin", "https://blog.example:8443")], false),
        (&[("host", "backend"), ("origin", "http://blog.example")], false),
        (&[("host", "backend"), ("origin", "https://evil.example")], false),
        (&[("host", "backend"), ("referer", "https://blog.example/create")], true),
        (&[("host", "backend"), ("referer", "https://evil.example/")], false),
        (
            &[("host", "backend"), ("origin", "https://evil.example"), ("x-forwarded-host", "evil.example")],
            false,
        ),
    ] {
        let mut browser =
            headers.iter().fold(member.clone(), |browser, (name, value)| browser.with(name, value));
        let answer = browser.post("/create", &[("title", "t"), ("body", "")]).await;
        assert_eq!(answer.status == StatusCode::FOUND, allowed, "{headers:?}: {}", answer.body);
    }
}

#[tokio::test]
async fn form_over_another_known_scheme_is_refused() {
    let (blog, form) = (Blog::with_post().await, [("title", "t"), ("body", "")]);
    let trusted = blog.behind_proxy();
    let headers = [("host", "blog.example.org"), ("origin", "http://blog.example.org")];
    for (process, proto, status) in [
        (&trusted, "https", StatusCode::FORBIDDEN),
        (&trusted, "http", StatusCode::FOUND),
        (&blog, "https", StatusCode::FOUND),
    ] {
        let member = process.browser_of("test").await.with("x-forwarded-proto", proto);
        let mut browser = headers.iter().fold(member, |browser, (name, value)| browser.with(name, value));
        assert_eq!(browser.post("/create", &form).await.status, status, "{proto}");
    }
}

#[tokio::test]
async fn a_refused_form_names_both_addresses_and_the_way_out() {
    let blog = Blog::with_post().await;
    let post = async |origin: &str| {
        let mut browser = blog.browser().with("host", "backend:5000").with("origin", origin);
        browser.post("/auth/login", &[("username", "test"), ("password", "test")]).await
    };
    let answer = post("https://blog.example").await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    for words in ["came from https://blog.example, and the blog is at http://backend:5000", "BLOG_ADDRESS"] {
        assert!(answer.contains(words), "{words} is not in {}", answer.body);
    }
    for odd in ["null", "x", "https://x\"><script>"] {
        assert!(post(odd).await.contains("came from a page that sends no address"), "{odd}");
    }
}
