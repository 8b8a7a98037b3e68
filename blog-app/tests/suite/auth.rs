//! Registering, logging in, logging out. Flaskr's `test_auth.py`, and more.

use axum::http::StatusCode;

use super::{Blog, Browser};

async fn register(browser: &mut Browser, username: &str, password: &str) -> super::Answer {
    browser.post("/auth/register", &[("username", username), ("password", password)]).await
}

async fn log_in(browser: &mut Browser, username: &str, password: &str) -> super::Answer {
    browser.post("/auth/login", &[("username", username), ("password", password)]).await
}

#[tokio::test]
async fn registering_leads_to_the_login_page_and_stores_the_user() {
    let blog = Blog::new().await;
    let mut browser = blog.browser();
    assert_eq!(browser.get("/auth/register").await.status, StatusCode::OK);
    assert_eq!(register(&mut browser, "a", "a").await.location(), "/auth/login");
    assert_eq!(blog.count("SELECT COUNT(*) FROM user WHERE username = 'a'").await, 1);
    assert!(browser.cookie.is_none(), "registering doesn't log in");
}

#[tokio::test]
async fn registration_says_what_is_wrong_in_flaskrs_words() {
    let blog = Blog::with_post().await;
    for (username, password, message) in [
        ("", "", "Username is required."),
        ("a", "", "Password is required."),
        ("test", "test", "User test is already registered."),
    ] {
        let answer = register(&mut blog.browser(), username, password).await;
        assert_eq!((answer.status, answer.flash().as_str()), (StatusCode::OK, message));
        assert_eq!(answer.field("username"), username, "what was typed is kept");
    }
    assert_eq!(blog.count("SELECT COUNT(*) FROM user").await, 2);
}

#[tokio::test]
async fn a_password_never_comes_back_in_a_page() {
    let blog = Blog::with_post().await;
    let answer = register(&mut blog.browser(), "test", "pa55-of-mine").await;
    assert!(!answer.contains("pa55-of-mine"));
    let answer = log_in(&mut blog.browser(), "test", "pa55-of-mine").await;
    assert!(!answer.contains("pa55-of-mine"));
}

#[tokio::test]
async fn passwords_are_stored_as_argon2id() {
    let blog = Blog::with_post().await;
    let hash = blog.text("SELECT password FROM user WHERE id = 1").await;
    assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
}

#[tokio::test]
async fn logging_in_leads_to_the_index_which_then_names_the_user() {
    let blog = Blog::with_post().await;
    let mut browser = blog.browser();
    assert_eq!(browser.get("/auth/login").await.status, StatusCode::OK);
    assert_eq!(log_in(&mut browser, "test", "test").await.location(), "/");
    let index = browser.get("/").await;
    assert!(index.contains("<li><span>test</span></li>") && index.contains("Log Out"));
    assert!(!index.contains("Register"));
}

#[tokio::test]
async fn login_says_what_is_wrong_in_flaskrs_words() {
    let blog = Blog::with_post().await;
    for (username, password, message) in
        [("a", "test", "Incorrect username."), ("test", "a", "Incorrect password.")]
    {
        let mut browser = blog.browser();
        let answer = log_in(&mut browser, username, password).await;
        assert_eq!((answer.status, answer.flash().as_str()), (StatusCode::OK, message));
        assert_eq!(answer.field("username"), username);
        assert!(browser.cookie.is_none());
    }
}

#[tokio::test]
async fn logging_out_ends_the_session() {
    let blog = Blog::with_post().await;
    let mut browser = blog.browser_of("test").await;
    assert_eq!(browser.post("/auth/logout", &[]).await.location(), "/");
    assert!(browser.cookie.is_none());
    assert!(browser.get("/").await.contains("Log In"));
}

#[tokio::test]
async fn following_the_old_logout_link_works_unless_another_site_could_have_made_it() {
    let blog = Blog::with_post().await;
    for (site, logs_out) in
        [("same-origin", true), ("none", true), ("same-site", false), ("cross-site", false)]
    {
        let mut browser = blog.browser_of("test").await.with("sec-fetch-site", site);
        let answer = browser.get("/auth/logout").await;
        assert_eq!(browser.cookie.is_none(), logs_out, "{site}");
        assert_eq!(answer.status, if logs_out { StatusCode::FOUND } else { StatusCode::OK }, "{site}");
    }
    let mut browser = blog.browser_of("test").await;
    let confirmation = browser.get("/auth/logout").await;
    assert!(confirmation.contains("<form action=\"/auth/logout\" method=\"post\">"));
    assert!(browser.cookie.is_some());
}

#[tokio::test]
async fn logging_out_without_a_session_leads_to_the_index() {
    let blog = Blog::new().await;
    assert_eq!(blog.browser().get("/auth/logout").await.location(), "/");
    assert_eq!(blog.browser().post("/auth/logout", &[]).await.location(), "/");
}

#[tokio::test]
async fn names_that_differ_in_case_accents_spaces_or_emoji_are_different_users() {
    let blog = Blog::new().await;
    let names = ["bob", "Bob", "bób", "bob ", " bob", "🍣", "🍺", "e\u{301}", "é", "ß", "ss"];
    for name in names {
        blog.register(name).await;
    }
    for name in names {
        let mut browser = blog.browser();
        assert_eq!(log_in(&mut browser, name, name).await.location(), "/", "{name:?}");
        let index = browser.get("/").await;
        assert!(index.contains(&format!("<span>{name}</span>")), "{name:?} is {}", index.body);
        let others = names.iter().filter(|other| **other != name);
        for other in others.take(3) {
            let answer = log_in(&mut blog.browser(), name, other).await;
            assert_eq!(answer.flash(), "Incorrect password.", "{name:?} with the password of {other:?}");
        }
    }
}

#[tokio::test]
async fn of_many_registrations_of_one_name_at_once_exactly_one_wins() {
    let blog = Blog::new().await;
    let attempts = (0..8).map(|_| {
        let mut browser = blog.browser();
        tokio::spawn(async move { register(&mut browser, "popular", "x").await })
    });
    let mut won = 0;
    for attempt in attempts.collect::<Vec<_>>() {
        let answer = attempt.await.unwrap();
        if answer.status == StatusCode::FOUND {
            won += 1;
        } else {
            assert_eq!(answer.flash(), "User popular is already registered.");
        }
    }
    assert_eq!(won, 1);
    assert_eq!(blog.count("SELECT COUNT(*) FROM user").await, 1);
}

#[tokio::test]
async fn an_unknown_name_costs_as_much_as_a_wrong_password() {
    let blog = Blog::with_post().await;
    let mut fastest = [std::time::Duration::MAX; 2];
    for _ in 0..5 {
        for (username, fastest) in ["test", "nobody"].into_iter().zip(&mut fastest) {
            let started = std::time::Instant::now();
            log_in(&mut blog.browser(), username, "wrong").await;
            *fastest = started.elapsed().min(*fastest);
        }
    }
    // Without the hash the answer would come a hundred times faster; a tenth allows for a busy machine.
    let [known, unknown] = fastest;
    assert!(unknown * 10 > known, "unknown {unknown:?}, known {known:?}");
}
