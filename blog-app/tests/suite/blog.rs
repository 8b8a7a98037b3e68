//! Listing, creating, editing and deleting posts. Flaskr's `test_blog.py`, and more.

use std::fmt::Write;

use axum::http::StatusCode;

use super::Blog;

#[tokio::test]
async fn the_index_shows_posts_and_offers_what_the_visitor_may_do() {
    let blog = Blog::with_post().await;
    let answer = blog.browser().get("/").await;
    assert!(answer.contains("Log In") && answer.contains("Register"));
    assert!(!answer.contains("href=\"/create\"") && !answer.contains("/update"));
    let answer = blog.browser_of("test").await.get("/").await;
    assert!(answer.contains("test title"));
    assert!(answer.contains("by test on 2018-01-01"));
    assert!(answer.contains("<p class=\"body\">test\nbody</p>"));
    assert!(answer.contains("href=\"/1/update\""));
    assert!(answer.contains("<a class=\"action\" href=\"/create\">New</a>"));
}

#[tokio::test]
async fn only_members_may_write() {
    let blog = Blog::with_post().await;
    for path in ["/create", "/1/update", "/1/delete", "/2/update"] {
        assert_eq!(blog.browser().post(path, &[]).await.location(), "/auth/login", "{path}");
    }
    for path in ["/create", "/1/update"] {
        assert_eq!(blog.browser().get(path).await.location(), "/auth/login", "{path}");
    }
}

#[tokio::test]
async fn only_the_author_may_change_a_post() {
    let blog = Blog::with_post().await;
    let mut other = blog.browser_of("other").await;
    for path in ["/1/update", "/1/delete"] {
        let answer = other.post(path, &[("title", "x"), ("body", "x")]).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
        assert_eq!(other.post(path, &[]).await.status, StatusCode::FORBIDDEN, "{path} without a form");
    }
    assert_eq!(other.get("/1/update").await.status, StatusCode::FORBIDDEN);
    assert!(!other.get("/").await.contains("href=\"/1/update\""));
    assert_eq!(blog.text("SELECT title FROM post").await, "test title");
}

#[tokio::test]
async fn a_post_that_does_not_exist_is_not_found() {
    let blog = Blog::with_post().await;
    let mut browser = blog.browser_of("test").await;
    for path in ["/2/update", "/2/delete"] {
        let answer = browser.post(path, &[]).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert!(answer.contains("Post id 2 doesn&#39;t exist."), "{}", answer.body);
    }
    for path in ["/x/update", "/-1/update", "/+1/update", "/1.0/update", "/99999999999999999999/update"] {
        assert_eq!(browser.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn a_new_post_is_stored() {
    let blog = Blog::with_post().await;
    let mut browser = blog.browser_of("test").await;
    assert_eq!(browser.get("/create").await.status, StatusCode::OK);
    assert_eq!(browser.post("/create", &[("title", "created"), ("body", "")]).await.location(), "/");
    assert_eq!(blog.count("SELECT COUNT(id) FROM post").await, 2);
    assert_eq!(browser.get("/").await.titles(), ["created", "test title"]);
}

#[tokio::test]
async fn a_changed_post_is_stored_and_keeps_its_place() {
    let blog = Blog::with_post().await;
    let mut browser = blog.browser_of("test").await;
    let form = browser.get("/1/update").await;
    assert!(form.contains("<h1>Edit \"test title\"</h1>"));
    assert_eq!((form.field("title"), form.field("body")), ("test title".into(), "test\nbody".into()));
    assert_eq!(browser.post("/1/update", &[("title", "updated"), ("body", "")]).await.location(), "/");
    assert_eq!(blog.text("SELECT title FROM post WHERE id = 1").await, "updated");
    assert!(browser.get("/").await.contains("on 2018-01-01"));
    let same = browser.post("/1/update", &[("title", "updated"), ("body", "")]).await;
    assert_eq!(same.location(), "/", "saving without a change is no error");
}

#[tokio::test]
async fn a_post_needs_a_title_and_the_text_typed_is_kept() {
    let blog = Blog::with_post().await;
    let mut browser = blog.browser_of("test").await;
    for path in ["/create", "/1/update"] {
        let answer = browser.post(path, &[("title", ""), ("body", "typed & kept")]).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.flash(), "Title is required.");
        assert_eq!(answer.field("body"), "typed & kept", "{path}");
    }
}

#[tokio::test]
async fn a_deleted_post_is_gone() {
    let blog = Blog::with_post().await;
    let mut browser = blog.browser_of("test").await;
    assert_eq!(browser.get("/1/delete").await.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(browser.post("/1/delete", &[]).await.location(), "/");
    assert_eq!(blog.count("SELECT COUNT(*) FROM post").await, 0);
    assert!(browser.get("/").await.contains("There are no posts here yet."));
}

#[tokio::test]
async fn texts_are_kept_byte_for_byte() {
    let blog = Blog::with_post().await;
    let mut browser = blog.browser_of("test").await;
    let texts = [
        "🍣🏳️‍🌈 ünïcode ﷽ e\u{301} é \u{200f}\u{202e}",
        "  spaces  \t tabs\t",
        "\r\nfirst line empty\r\n\r\nlast too\r\n",
        "\n\nunix",
        "'; DROP TABLE post; -- \\ \\' \" ? %s {0}",
        "<script>alert(1)</script>&amp;&#60;",
    ];
    for text in texts {
        assert_eq!(browser.post("/1/update", &[("title", text), ("body", text)]).await.location(), "/");
        assert_eq!(blog.text("SELECT title FROM post WHERE id = 1").await, text);
        assert_eq!(blog.text("SELECT body FROM post WHERE id = 1").await, text);
        let form = browser.get("/1/update").await;
        assert_eq!((form.field("title").as_str(), form.field("body").as_str()), (text, text));
    }
}

#[tokio::test]
async fn html_is_inert_wherever_it_is_typed() {
    const HTML: &str = "</textarea></h1>\"'><script>alert(1)</script>";
    let blog = Blog::new().await;
    let credentials = [("username", HTML), ("password", "x")];
    assert_eq!(blog.browser().post("/auth/register", &credentials).await.location(), "/auth/login");
    let mut browser = blog.browser();
    let again = browser.post("/auth/register", &credentials).await;
    assert_eq!(again.flash(), format!("User {HTML} is already registered."));
    browser.post("/auth/login", &credentials).await;
    browser.post("/create", &[("title", HTML), ("body", HTML)]).await;
    for answer in [again, browser.get("/").await, browser.get("/1/update").await] {
        assert!(!answer.contains("<script"), "{}", answer.body);
        assert!(answer.contains("&#60;script&#62;"));
    }
}

async fn with_posts_of_one_second(count: usize) -> Blog {
    let blog = Blog::new().await;
    blog.register("test").await;
    let mut insert = "INSERT INTO post (author_id, created, title, body) VALUES ".to_owned();
    for number in 1..=count {
        let comma = if number == 1 { "" } else { ", " };
        write!(insert, "{comma}(1, '2026-01-01 12:00:00', 'post {number}', '')").unwrap();
    }
    blog.execute(&insert).await;
    blog
}

fn older(answer: &super::Answer) -> Option<String> {
    let link = answer.body.split("<a class=\"older\" href=\"").nth(1)?;
    let (href, rest) = link.split_once('"').unwrap();
    assert!(rest.starts_with(" rel=\"next\">Older posts</a>"), "{rest}");
    Some(href.to_owned())
}

#[tokio::test]
async fn posts_of_one_second_are_paged_in_a_fixed_order_without_gaps() {
    let blog = with_posts_of_one_second(45).await;
    let mut browser = blog.browser();
    let (mut seen, mut sizes, mut next) = (Vec::new(), Vec::new(), Some("/".to_owned()));
    while let Some(path) = next {
        let page = browser.get(&path).await;
        assert_eq!(page.status, StatusCode::OK);
        assert_eq!(page.contains("<a class=\"newest\" href=\"/\">"), path != "/");
        sizes.push(page.titles().len());
        seen.extend(page.titles());
        next = older(&page);
    }
    let expected: Vec<String> = (1..=45).rev().map(|number| format!("post {number}")).collect();
    assert_eq!((seen, sizes), (expected, vec![20, 20, 5]));
}

#[tokio::test]
async fn a_full_page_alone_has_no_older_link() {
    let blog = with_posts_of_one_second(20).await;
    let page = blog.browser().get("/").await;
    assert_eq!((page.titles().len(), older(&page)), (20, None));
    assert!(!page.contains("class=\"pages\""));
}

#[tokio::test]
async fn new_and_deleted_posts_shift_no_page() {
    let blog = with_posts_of_one_second(30).await;
    let mut browser = blog.browser();
    let next = older(&browser.get("/").await).unwrap();
    let before = browser.get(&next).await.titles();
    // The post that the link starts from is deleted too.
    blog.execute("DELETE FROM post WHERE title = 'post 11'").await;
    blog.execute("INSERT INTO post (author_id, title, body) VALUES (1, 'new', '')").await;
    assert_eq!(browser.get(&next).await.titles(), before);
}

#[tokio::test]
async fn a_page_that_cannot_be_is_a_bad_request_and_not_an_error_of_ours() {
    let blog = Blog::with_post().await;
    for before in ["", "x", "2026-02-30T00:00:00,1", "2026-01-01T00:00:00,x", "'%20OR%201=1"] {
        let answer = blog.browser().get(&format!("/?before={before}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{before}");
    }
    assert_eq!(blog.browser().get("/?utm_source=x").await.status, StatusCode::OK);
}
