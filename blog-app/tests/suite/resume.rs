//! A text that was typed while the session ended is never lost.

use axum::http::StatusCode;

use super::{Answer, Blog, Browser};

const TYPED: [(&str, &str); 2] = [("title", "My <title>"), ("body", "hours\nof work")];

fn assert_kept(answer: &Answer) {
    assert_eq!(answer.field("title"), "My <title>");
    assert_eq!(answer.field("body"), "hours\nof work");
}

async fn log_in(browser: &mut Browser, asked: &Answer, name: &str, password: &str) -> Answer {
    assert!(asked.contains("<form action=\"/auth/resume\" method=\"post\">"), "{}", asked.body);
    let (title, body, post) = (asked.field("title"), asked.field("body"), asked.field("post"));
    let form =
        [("username", name), ("password", password), ("post", &post), ("title", &title), ("body", &body)];
    browser.post("/auth/resume", &form).await
}

#[tokio::test]
async fn a_save_without_a_session_asks_for_a_login_and_keeps_the_text() {
    let blog = Blog::with_post().await;
    for path in ["/create", "/1/update"] {
        let mut browser = blog.browser();
        let asked = browser.post(path, &TYPED).await;
        assert_eq!(asked.status, StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(asked.header("cache-control"), Some("private, no-store"));
        assert!(asked.header("www-authenticate").is_some());
        assert!(asked.flash().contains("not saved yet"), "{}", asked.flash());
        assert_kept(&asked);
        let wrong = log_in(&mut browser, &asked, "test", "wrong").await;
        assert_eq!(wrong.flash(), "Incorrect password.");
        assert_kept(&wrong);
        let form = log_in(&mut browser, &wrong, "test", "test").await;
        assert_eq!(form.status, StatusCode::OK, "{}", form.body);
        assert_kept(&form);
        assert!(form.contains("<span>test</span>"), "{}", form.body);
        assert!(form.contains(&format!("<form action=\"{path}\" method=\"post\">")), "{}", form.body);
        assert!(!form.contains("type=\"password\""), "{}", form.body);
        assert_eq!(browser.post(path, &TYPED).await.location(), "/", "{path}");
    }
    assert_eq!(blog.count("SELECT COUNT(*) FROM post WHERE title = 'My <title>'").await, 2);
}

#[tokio::test]
async fn a_long_text_survives_a_session_that_was_ended() {
    let blog = Blog::with_post().await;
    let mut browser = blog.browser_of("test").await;
    blog.execute("UPDATE user SET password = 'another' WHERE username = 'test'").await;
    let body = "x".repeat(60_000);
    let asked = browser.post("/create", &[("title", "t"), ("body", &body)]).await;
    assert_eq!(asked.status, StatusCode::UNAUTHORIZED);
    assert_eq!(asked.field("body"), body);
    let form = log_in(&mut browser, &asked, "other", "other").await;
    assert_eq!(form.field("body"), body);
}

#[tokio::test]
async fn a_text_for_anothers_post_becomes_a_new_one() {
    let blog = Blog::with_post().await;
    let mut browser = blog.browser();
    let asked = browser.post("/1/update", &TYPED).await;
    let form = log_in(&mut browser, &asked, "other", "other").await;
    assert!(form.flash().contains("Save makes a new post"), "{}", form.flash());
    assert!(form.contains("<form action=\"/create\" method=\"post\">"), "{}", form.body);
    assert_kept(&form);
}

#[tokio::test]
async fn a_login_with_a_text_is_slowed_like_any_other() {
    let blog = Blog::with_post().await;
    let mut browser = blog.browser();
    let mut answer = browser.post("/create", &TYPED).await;
    for _ in 0..6 {
        answer = log_in(&mut browser, &answer, "test", "wrong").await;
        assert_kept(&answer);
    }
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn control_characters_are_removed_in_the_form_and_said() {
    let blog = Blog::with_post().await;
    let mut author = blog.browser_of("test").await;
    for path in ["/create", "/1/update"] {
        for (title, body, place) in [
            (
                "ctl \u{b} x",
                "one\ntwo",
                "Title had characters that can't be shown, the first one U+000B in line 1.",
            ),
            (
                "ctl  x",
                "one\ntw\u{1b}o",
                "Body had characters that can't be shown, the first one U+001B in line 2.",
            ),
            (
                "ctl  x",
                "one\u{ffff}\ntw\u{9b}o",
                "Body had characters that can't be shown, the first one U+FFFF in line 1.",
            ),
        ] {
            let answer = author.post(path, &[("title", title), ("body", body)]).await;
            assert_eq!(answer.status, StatusCode::OK, "{path}");
            assert!(answer.flash().starts_with(place), "{}", answer.flash());
            assert_eq!(
                (answer.field("title").as_str(), answer.field("body").as_str()),
                ("ctl  x", "one\ntwo")
            );
        }
    }
    assert_eq!(blog.count("SELECT COUNT(*) FROM post WHERE title LIKE 'ctl%'").await, 0);
}

#[tokio::test]
async fn the_feed_is_well_formed_whatever_is_stored() {
    for markup in [blog_app::config::Markup::Plain, blog_app::config::Markup::Markdown] {
        let blog =
            Blog::with_post().await.configured(|app| std::sync::Arc::make_mut(&mut app.site).markup = markup);
        let odd = "a\u{b}b\u{1}\u{fffe} &#11; &#x1b;";
        blog.execute(&format!("UPDATE post SET title = '{odd}', body = '{odd}'")).await;
        blog.execute(&format!("UPDATE user SET username = '{odd}' WHERE id = 1")).await;
        let feed = blog.browser().get("/feed.atom").await;
        let bad = |character: &char| character.is_control() && !"\t\r\n".contains(*character);
        assert_eq!(feed.body.chars().find(bad), None, "{}", feed.body);
        assert!(!feed.contains("\u{fffe}") && feed.contains("<title>ab"), "{}", feed.body);
    }
}
