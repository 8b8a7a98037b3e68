//! Registration, login and logout. Flaskr's `test_auth.py`, and more.

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
    // Rows of older versions can hold such names; new ones that are confusable are refused.
    for name in names {
        let hash = blog.app.passwords.hash(name.to_owned()).await.unwrap();
        blog_app::store::users::insert(&blog.app.database, name, &hash).await.unwrap();
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
    // Without the hash the response would come a hundred times faster; a tenth allows for a busy machine.
    let [known, unknown] = fastest;
    assert!(unknown * 10 > known, "unknown {unknown:?}, known {known:?}");
}

#[tokio::test]
async fn a_cookie_of_an_earlier_login_is_dead_after_logout() {
    let blog = Blog::with_post().await;
    let (mut browser, mut elsewhere) = (blog.browser_of("test").await, blog.browser_of("test").await);
    let copied = browser.clone();
    browser.post("/auth/logout", &[]).await;
    let replica = blog.replica(super::keys("key", None));
    for process in [&blog, &replica] {
        let mut thief = process.browser();
        thief.cookie.clone_from(&copied.cookie);
        assert_eq!(thief.get("/create").await.location(), "/auth/login");
        assert!(thief.get("/").await.contains("Log In"));
    }
    assert!(elsewhere.get("/").await.contains("Log Out"), "another browser's session goes on");
    assert_eq!(blog.count("SELECT COUNT(*) FROM ended_session").await, 1);
    assert_eq!(copied.clone().post("/auth/logout", &[]).await.location(), "/", "twice is no error");
}

#[tokio::test]
async fn log_out_everywhere_ends_every_session_of_the_user() {
    let blog = Blog::with_post().await;
    let mut other = blog.browser_of("other").await;
    for _ in 0..2 {
        let (mut here, mut there) = (blog.browser_of("test").await, blog.browser_of("test").await);
        assert!(
            here.get("/auth/password").await.contains("action=\"/auth/logout-everywhere\" method=\"post\"")
        );
        assert_eq!(here.get("/auth/logout-everywhere").await.status, StatusCode::METHOD_NOT_ALLOWED);
        let copied = here.clone();
        assert_eq!(here.post("/auth/logout-everywhere", &[]).await.location(), "/");
        assert!(here.cookie.is_none());
        for browser in [&mut there, &mut copied.clone()] {
            assert_eq!(browser.get("/create").await.location(), "/auth/login");
        }
    }
    assert!(other.get("/").await.contains("Log Out"), "others stay");
    assert!(blog.browser_of("test").await.get("/").await.contains("Log Out"));
}

#[tokio::test]
async fn on_a_schema_without_sessions_log_in_and_out_work_as_before() {
    let blog = Blog::with_post().await;
    for statement in
        ["DROP TABLE ended_session", "DROP TABLE session_number", "DELETE FROM blog_schema WHERE version = 4"]
    {
        blog.execute(statement).await;
    }
    let mut browser = blog.browser_of("test").await;
    assert_eq!(browser.post("/create", &[("title", "t"), ("body", "")]).await.location(), "/");
    let answer = browser.post("/auth/logout-everywhere", &[]).await;
    assert!(answer.contains("can update it with `blog-app migrate`"), "{}", answer.body);
    let copied = browser.clone();
    assert_eq!(browser.post("/auth/logout", &[]).await.location(), "/");
    assert_eq!(copied.clone().get("/create").await.location(), "/auth/login", "this process remembers");
}

#[tokio::test]
async fn a_name_that_cannot_be_told_apart_is_refused() {
    let blog = Blog::new().await;
    blog.register("ada").await;
    let mut browser = blog.browser();
    for name in ["Ada", "ADA", "\u{430}da"] {
        let answer = register(&mut browser, name, "x").await;
        assert_eq!(answer.status, StatusCode::OK, "{name:?}");
        assert!(answer.flash().starts_with("This name looks like another user's"), "{}", answer.flash());
        assert_eq!(answer.field("username"), name);
    }
    for name in ["ada ", " ada", "\u{ff41}\u{ff44}\u{ff41}"] {
        let answer = register(&mut browser, name, "x").await;
        assert_eq!(answer.flash(), "User ada is already registered.", "{name:?}");
    }
    for (name, character) in [("ada\u{200b}", "U+200B"), ("\u{202e}ada", "U+202E"), ("a\u{3164}", "U+1160")] {
        let answer = register(&mut browser, name, "x").await;
        let expected = format!("Username must not contain invisible characters such as {character}.");
        assert_eq!(answer.flash(), expected, "{name:?}");
    }
    assert_eq!(register(&mut browser, " \u{2003}", "x").await.flash(), "Username is required.");
    assert_eq!(blog.count("SELECT COUNT(*) FROM user").await, 1);
}

#[tokio::test]
async fn a_name_is_stored_and_found_in_its_plain_form() {
    let blog = Blog::new().await;
    let mut browser = blog.browser();
    let typed = " \u{ff22}ob  Smith ";
    assert_eq!(register(&mut browser, typed, "x").await.location(), "/auth/login");
    assert_eq!(blog.text("SELECT username FROM user").await, "Bob Smith");
    for name in [typed, "Bob Smith"] {
        assert_eq!(log_in(&mut blog.browser(), name, "x").await.location(), "/", "{name:?}");
    }
}

#[tokio::test]
async fn a_name_whose_user_is_gone_is_free_again() {
    let blog = Blog::new().await;
    blog.register("ada").await;
    assert!(register(&mut blog.browser(), "Ada", "x").await.flash().starts_with("This name looks like"));
    blog.execute("DELETE FROM user").await;
    blog.register("Ada").await;
}

#[tokio::test]
async fn a_logout_without_the_database_is_recorded_later() {
    let blog = Blog::with_post().await;
    let browser = blog.browser_of("test").await;
    let replica = blog.replica(super::keys("key", None));
    let cut = blog.replica(super::keys("key", None));
    let app = std::sync::Arc::clone(&cut.app);
    app.database.close().await;
    let mut leaving = cut.browser();
    leaving.cookie.clone_from(&browser.cookie);
    assert_eq!(leaving.clone().post("/auth/logout", &[]).await.location(), "/");
    assert_eq!(app.sessions.unrecorded().len(), 1);
    assert_eq!(leaving.get("/create").await.location(), "/auth/login", "this process knows");
    // The database is available again.
    let back = cut.configured_copy(blog.database.connect());
    blog_app::routes::logout::record(&back.app).await;
    assert_eq!(back.app.sessions.unrecorded().len(), 0);
    let mut thief = replica.browser();
    thief.cookie.clone_from(&browser.cookie);
    assert_eq!(thief.get("/create").await.location(), "/auth/login");
}
