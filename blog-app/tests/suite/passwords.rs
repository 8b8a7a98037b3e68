//! Changing the password, the original's hashes, closed registration.

use axum::http::StatusCode;

use super::Blog;

#[tokio::test]
async fn a_changed_password_ends_every_session_but_the_one_that_changed_it() {
    let blog = Blog::with_post().await;
    let (mut here, mut elsewhere) = (blog.browser_of("test").await, blog.browser_of("test").await);
    assert!(here.get("/").await.contains("href=\"/auth/password\""));
    assert!(here.get("/auth/password").await.contains("<h1>Change Password</h1>"));
    let wrong = here.post("/auth/password", &[("current", "x"), ("new", "y")]).await;
    assert_eq!((wrong.status, wrong.flash().as_str()), (StatusCode::OK, "Incorrect password."));
    let empty = here.post("/auth/password", &[("current", "test"), ("new", "")]).await;
    assert_eq!(empty.flash(), "Password is required.");
    assert_eq!(here.post("/auth/password", &[("current", "test"), ("new", "better")]).await.location(), "/");
    assert!(here.get("/").await.contains("Log Out"));
    assert!(elsewhere.get("/").await.contains("Log In"));
    let old = blog.browser().post("/auth/login", &[("username", "test"), ("password", "test")]).await;
    assert_eq!(old.flash(), "Incorrect password.");
    let new = blog.browser().post("/auth/login", &[("username", "test"), ("password", "better")]).await;
    assert_eq!(new.location(), "/");
    assert_eq!(blog.browser().get("/auth/password").await.location(), "/auth/login");
}

#[tokio::test]
async fn users_of_the_original_log_in_with_their_old_passwords_and_get_better_hashes() {
    let blog = Blog::new().await;
    blog.execute(
        "INSERT INTO user (username, password) VALUES ('pbkdf2', \
         'pbkdf2:sha256:50000$TCI4GzcX$0de171a4f4dac32e3364c7ddc7c14f3e2fa61f2d17574483f7ffbb431b4acb2f'), ('scrypt', \
         'scrypt:32768:8:1$EEoV7iUIf56f0crw$b5b92ff2ef7d9c35bde156110ef66397e57f1d085c818684c3c5ea4ea3c26f7b\
82bbe15589708efa6808f0f17977a930c09be40fdbb3cefc1b16e6bc9550f719')",
    )
    .await;
    for (name, id) in [("pbkdf2", 1), ("scrypt", 2)] {
        let hash = format!("SELECT password FROM user WHERE id = {id}");
        let form = |password| [("username", name), ("password", password)];
        assert_eq!(blog.browser().post("/auth/login", &form("wrong")).await.flash(), "Incorrect password.");
        assert!(blog.text(&hash).await.starts_with(name), "a wrong password changes nothing");
        let mut browser = blog.browser();
        assert_eq!(browser.post("/auth/login", &form("test")).await.location(), "/");
        assert!(browser.get("/").await.contains("Log Out"), "the session is tied to the new hash");
        assert!(blog.text(&hash).await.starts_with("$argon2id$"));
        assert_eq!(blog.browser().post("/auth/login", &form("test")).await.location(), "/");
    }
}

#[tokio::test]
async fn two_first_logins_of_a_user_of_the_original_at_once_both_last() {
    let blog = Blog::new().await;
    blog.execute(
        "INSERT INTO user (username, password) VALUES ('old', \
         'pbkdf2:sha256:50000$TCI4GzcX$0de171a4f4dac32e3364c7ddc7c14f3e2fa61f2d17574483f7ffbb431b4acb2f')",
    )
    .await;
    let log_in = async || {
        let mut browser = blog.browser();
        let answer = browser.post("/auth/login", &[("username", "old"), ("password", "test")]).await;
        assert_eq!(answer.location(), "/");
        browser
    };
    let (mut one, mut two) = tokio::join!(log_in(), log_in());
    for browser in [&mut one, &mut two] {
        assert!(browser.get("/").await.contains("Log Out"));
    }
}

#[tokio::test]
async fn a_closed_registration_takes_nobody_and_is_not_offered() {
    let blog = Blog::with_post()
        .await
        .configured(|app| std::sync::Arc::make_mut(&mut app.site).registration_open = false);
    let mut browser = blog.browser();
    assert!(!browser.get("/").await.contains("/auth/register"));
    let refused = browser.get("/auth/register").await;
    assert!(refused.status == StatusCode::FORBIDDEN && refused.contains("This blog takes no new users."));
    let form = [("username", "new"), ("password", "x")];
    assert_eq!(browser.post("/auth/register", &form).await.status, StatusCode::FORBIDDEN);
    assert_eq!(blog.count("SELECT COUNT(*) FROM user").await, 2);
    blog.browser_of("test").await;
}
