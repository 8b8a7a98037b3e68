//! Limits on password guessing and mass registration.

use axum::http::StatusCode;
use blog_app::security::rate_limit::RegistrationLimiter;

use super::{Answer, Blog, Browser};

async fn log_in(browser: &mut Browser, name: &str, password: &str) -> Answer {
    browser.post("/auth/login", &[("username", name), ("password", password)]).await
}

/// Sends wrong passwords until the limit.
async fn guess_until_slowed(blog: &Blog, name: &str) -> Answer {
    for _ in 0..20 {
        let answer = log_in(&mut blog.browser(), name, "wrong").await;
        if answer.status != StatusCode::OK {
            return answer;
        }
    }
    panic!("no attempt was slowed");
}

#[tokio::test]
async fn guessing_is_slowed_with_a_page_that_says_when_to_come_back() {
    let blog = Blog::with_post().await;
    for name in ["test", "nobody"] {
        let answer = guess_until_slowed(&blog, name).await;
        assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS, "whether there is such a user or not");
        assert!(answer.header("retry-after").unwrap().parse::<u32>().is_ok_and(|seconds| seconds > 0));
        assert!(
            answer.flash().starts_with("Too many failed logins. Please try again in "),
            "{}",
            answer.flash()
        );
        assert_eq!(answer.field("username"), name);
        assert_eq!(log_in(&mut blog.browser(), name, name).await.status, StatusCode::TOO_MANY_REQUESTS);
    }
    let other = log_in(&mut blog.browser(), "other", "other").await;
    assert_eq!(other.location(), "/", "an office behind one address goes on");
    let metrics = blog.app.metrics.encode(&blog.app.database);
    assert!(metrics.contains("blog_logins_total{outcome=\"throttled\"} 4"), "{metrics}");
}

#[tokio::test]
async fn an_owner_is_not_locked_out_of_a_browser_that_was_used_before() {
    let blog = Blog::with_post().await;
    let mut owner = blog.browser_of("test").await;
    owner.post("/auth/logout", &[]).await;
    guess_until_slowed(&blog, "test").await;
    assert_eq!(log_in(&mut owner, "test", "test").await.location(), "/");
    let mut others = blog.browser();
    others.known = blog.browser_of("other").await.known;
    assert_eq!(log_in(&mut others, "test", "test").await.status, StatusCode::TOO_MANY_REQUESTS);
    let mut forged = blog.browser();
    forged.known = owner.known.as_ref().map(|value| format!("x{value}"));
    assert_eq!(log_in(&mut forged, "test", "test").await.status, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn a_known_browser_is_no_licence_to_guess() {
    let blog = Blog::with_post().await;
    let owner = blog.browser_of("test").await;
    let mut slowed = false;
    for _ in 0..20 {
        let mut thief = blog.browser();
        thief.known.clone_from(&owner.known);
        slowed |= log_in(&mut thief, "test", "wrong").await.status == StatusCode::TOO_MANY_REQUESTS;
    }
    assert!(slowed);
}

#[tokio::test]
async fn a_found_session_is_no_licence_to_guess_the_password() {
    let blog = Blog::with_post().await;
    let mut thief = blog.browser_of("test").await;
    let mut slowed = false;
    for _ in 0..20 {
        let answer = thief.post("/auth/password", &[("current", "wrong"), ("new", "mine")]).await;
        slowed |= answer.status == StatusCode::TOO_MANY_REQUESTS;
    }
    assert!(slowed);
    assert_eq!(
        log_in(&mut blog.browser(), "test", "test").await.location(),
        "/",
        "logging in is counted by itself"
    );
}

#[tokio::test]
async fn the_right_password_ends_the_counting() {
    let blog = Blog::with_post().await;
    for _ in 0..6 {
        for _ in 0..3 {
            assert_eq!(log_in(&mut blog.browser(), "test", "wrong").await.flash(), "Incorrect password.");
        }
        assert_eq!(log_in(&mut blog.browser(), "test", "test").await.location(), "/");
    }
}

#[tokio::test]
async fn a_flood_of_registrations_is_bounded_and_mistakes_do_not_count() {
    let blog =
        Blog::new().await.configured(|app| app.registration_limiter = RegistrationLimiter::per_minute(3));
    let register = async |name: &str| {
        blog.browser().post("/auth/register", &[("username", name), ("password", "x")]).await
    };
    for name in ["", "a", "", "b", "c"] {
        assert_ne!(register(name).await.status, StatusCode::TOO_MANY_REQUESTS, "{name}");
    }
    let refused = register("d").await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(refused.header("retry-after").is_some());
    assert_eq!((refused.field("username").as_str(), blog.count("SELECT COUNT(*) FROM user").await), ("d", 3));
}
