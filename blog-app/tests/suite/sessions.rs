//! The session cookie, shared by replicas and forged by attackers.

use std::sync::Arc;

use blog_app::html::layout::Site;
use blog_app::security::session::{MAX_AGE, Session, Sessions, now};

use super::{Blog, execute, keys};

fn forged(key: &str, session: &Session) -> Option<String> {
    Some(Sessions::new(keys(key, None)).seal(session))
}

#[tokio::test]
async fn replicas_with_the_same_key_share_a_session() {
    let blog = Blog::with_post().await;
    let cookie = blog.browser_of("test").await.cookie;
    let mut elsewhere = blog.replica(keys("key", None)).browser();
    elsewhere.cookie = cookie;
    assert!(elsewhere.get("/").await.contains("<span>test</span>"));
}

#[tokio::test]
async fn nobody_is_logged_out_by_a_rotation_of_the_key() {
    let blog = Blog::with_post().await;
    let cookie = blog.browser_of("test").await.cookie;
    let mut rotated = blog.replica(keys("new", Some("key"))).browser();
    rotated.cookie.clone_from(&cookie);
    assert!(rotated.get("/").await.contains("<span>test</span>"));
    let mut rotated_twice = blog.replica(keys("newer", Some("new"))).browser();
    rotated_twice.cookie = cookie;
    assert!(rotated_twice.get("/").await.contains("Log In"));
}

#[tokio::test]
async fn forged_old_and_broken_cookies_are_no_session() {
    let blog = Blog::with_post().await;
    let valid = blog.browser_of("test").await.cookie.unwrap();
    let opened = Sessions::new(keys("key", None)).open(valid.as_str(), now());
    let session = opened.expect("the cookie of the browser opens");
    let expired = Session { issued: now() - MAX_AGE.as_secs() - 1, ..session.clone() };
    let values = [
        forged("another key", &session),
        forged("key", &expired),
        forged("key", &Session { user: 99, ..session.clone() }),
        forged("key", &Session { proof: session.proof ^ 1, ..session.clone() }),
        Some(valid.replacen('e', "f", 1)),
        Some(format!("{valid}x")),
        Some(String::new()),
        Some("......".to_owned()),
        Some("\u{7f}\"\\ %00".replace('\u{7f}', "")),
        Some("x".repeat(8000)),
    ];
    for value in values {
        let mut browser = blog.browser();
        browser.cookie.clone_from(&value);
        let answer = browser.get("/").await;
        assert!(answer.status.is_success() && answer.contains("Log In"), "{value:?}");
        assert_eq!(browser.get("/create").await.location(), "/auth/login", "{value:?}");
    }
}

/// A recreated database counts its users from 1 again: an old cookie must not be valid for another user.
#[tokio::test]
async fn another_password_hash_ends_the_session() {
    let blog = Blog::with_post().await;
    let mut browser = blog.browser_of("test").await;
    assert!(browser.get("/").await.contains("Log Out"));
    execute(&blog.app.database, "UPDATE user SET password = 'another' WHERE username = 'test'").await;
    assert!(browser.get("/").await.contains("Log In"));
}

#[tokio::test]
async fn the_cookie_is_out_of_reach_of_scripts_and_other_sites() {
    let blog = Blog::with_post().await;
    let form = [("username", "test"), ("password", "test")];
    let attributes = "Max-Age=2678400; Path=/; HttpOnly; SameSite=Lax";
    let plain = blog.browser().post("/auth/login", &form).await;
    assert!(plain.header("set-cookie").unwrap().ends_with(attributes));
    assert_eq!(plain.header("cache-control"), Some("private, no-store"));
    // Any client can send the header; it counts only from a trusted proxy.
    let mut untrusted = blog.browser().with("x-forwarded-proto", "https");
    assert!(!untrusted.post("/auth/login", &form).await.header("set-cookie").unwrap().contains("Secure"));
    let mut trusted = blog.behind_proxy().browser().with("x-forwarded-proto", "https");
    let answer = trusted.post("/auth/login", &form).await;
    assert!(answer.header("set-cookie").unwrap().ends_with(&format!("{attributes}; Secure")));
}

/// Behind a proxy that isn't trusted the configuration counts: an https address means TLS in front.
#[tokio::test]
async fn at_the_blogs_own_https_address_cookies_are_for_tls_unless_the_proxy_says_there_was_none() {
    let blog = Blog::with_post().await.configured(|app| {
        app.site = Arc::new(Site { address: Some("https://blog.example.org".into()), ..(*app.site).clone() });
    });
    let form = [("username", "test"), ("password", "test")];
    for (headers, secure) in [
        (&[("host", "blog.example.org")][..], true),
        (&[("host", "Blog.Example.ORG"), ("x-forwarded-proto", "https")], true),
        (&[("host", "blog.example.org"), ("x-forwarded-proto", "http")], false),
        (&[("host", "localhost:30423")], false),
        (&[("host", "localhost:30423"), ("x-forwarded-proto", "https")], false),
    ] {
        let browser = headers.iter().fold(blog.browser(), |browser, (name, value)| browser.with(name, value));
        for (path, form) in [("/auth/login", &form[..]), ("/auth/logout", &[])] {
            let answer = browser.clone().post(path, form).await;
            let cookie = answer.header("set-cookie").unwrap().to_owned();
            assert_eq!(cookie.ends_with("; Secure"), secure, "{path} {headers:?}: {cookie}");
        }
    }
}

#[tokio::test]
async fn a_deleted_user_is_logged_out() {
    let blog = Blog::new().await;
    blog.register("gone").await;
    let mut browser = blog.browser_of("gone").await;
    blog.execute("DELETE FROM user").await;
    assert!(browser.get("/").await.contains("Log In"));
    assert_eq!(browser.get("/create").await.location(), "/auth/login");
}
