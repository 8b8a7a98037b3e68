//! Posts by their addresses, authors' pages, the feed, and how pages are cached and sent.

use axum::http::StatusCode;
use blog_app::config::Markup;

use super::{Answer, Blog, keys};

#[tokio::test]
async fn a_post_has_an_address_of_its_own_and_leads_to_its_neighbours() {
    let blog = Blog::with_post().await;
    blog.execute(
        "INSERT INTO post (title, body, author_id, created) VALUES ('second', 'b', 2, '2018-01-02 00:00:00'), \
         ('third', 'c', 1, '2018-01-02 00:00:00')",
    )
    .await;
    let page = blog.browser().get("/2").await;
    assert!(page.contains("<title>second - Flaskr</title>") && page.contains("by other on 2018-01-02"));
    assert!(page.contains("<a class=\"newer\" href=\"/3\" rel=\"prev\">Newer: third</a>"), "{}", page.body);
    assert!(page.contains("<a class=\"older\" href=\"/1\" rel=\"next\">Older: test title</a>"));
    assert!(!page.contains("/2/update"));
    assert!(blog.browser_of("other").await.get("/2").await.contains("href=\"/2/update\""));
    assert!(blog.browser().get("/").await.contains("<h1><a href=\"/2\">second</a></h1>"));
    for missing in ["/4", "/0", "/-1", "/x", "/1.0", "/99999999999999999999", "/author/99", "/author/x"] {
        assert_eq!(blog.browser().get(missing).await.status, StatusCode::NOT_FOUND, "{missing}");
    }
}

#[tokio::test]
async fn an_authors_page_has_the_authors_posts_only() {
    let blog = Blog::with_post().await;
    blog.execute("INSERT INTO post (title, body, author_id) VALUES ('of other', '', 2), ('of test', '', 1)")
        .await;
    let page = blog.browser().get("/author/1").await;
    assert!(page.contains("<h1>Posts by test</h1>"));
    assert_eq!(page.titles(), ["of test", "test title"]);
    assert!(blog.browser().get("/").await.contains("<a rel=\"author\" href=\"/author/2\">by other on "));
}

fn link(page: &Answer, class: &str) -> Option<String> {
    let link = page.body.split(&format!("<a class=\"{class}\" href=\"")).nth(1)?;
    Some(link.split('"').next().unwrap().replace("&#38;", "&"))
}

#[tokio::test]
async fn one_can_go_to_older_pages_and_back_again() {
    let blog = Blog::with_post().await;
    for number in 0..50 {
        let author = number % 2 + 1;
        blog.execute(&format!(
            "INSERT INTO post (title, body, author_id, created) VALUES ('p{number}', '', {author}, '2019-01-01 00:00:00')"
        ))
        .await;
    }
    for start in ["/", "/author/1"] {
        let mut browser = blog.browser();
        let (mut path, mut there) = (start.to_owned(), Vec::new());
        loop {
            let page = browser.get(&path).await;
            there.push(page.titles());
            match link(&page, "older") {
                Some(older) => path = older,
                None => break,
            }
        }
        assert_eq!(there.iter().map(Vec::len).sum::<usize>(), if start == "/" { 51 } else { 26 }, "{start}");
        let mut back = vec![browser.get(&path).await.titles()];
        while let Some(newer) = link(&browser.get(&path).await, "newer") {
            let page = browser.get(&newer).await;
            if page.status == StatusCode::FOUND {
                assert_eq!(page.location(), start, "the beginning has an address of its own");
                back.push(browser.get(start).await.titles());
                break;
            }
            back.push(page.titles());
            path = newer;
        }
        back.reverse();
        assert_eq!(back, there, "{start}");
    }
    assert_eq!(blog.browser().get("/?after=x").await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn the_feed_has_the_newest_posts_with_addresses_that_work_elsewhere() {
    let blog = Blog::with_post().await;
    blog.execute("INSERT INTO post (title, body, author_id, created) VALUES ('a < b & \u{1f363}', '<b>', 2, '2020-02-03 04:05:06')").await;
    let feed = blog.browser().get("/feed.atom").await;
    assert_eq!(feed.header("content-type"), Some("application/atom+xml; charset=utf-8"));
    for part in [
        "<id>http://blog.example.org/</id>",
        "<updated>2020-02-03T04:05:06+00:00</updated>",
        "<title>a &lt; b &amp; \u{1f363}</title>",
        "<id>http://blog.example.org/2</id>",
        "<name>other</name>",
        "&lt;b&gt;",
    ] {
        assert!(feed.contains(part), "{part} is not in {}", feed.body);
    }
    assert!(blog.browser().get("/").await.contains("type=\"application/atom+xml\""));
    let named = Blog::with_post()
        .await
        .configured(|app| std::sync::Arc::make_mut(&mut app.site).address = Some("https://b.example".into()));
    assert!(named.browser().get("/feed.atom").await.contains("<id>https://b.example/1</id>"));
    let mut odd = blog.browser().with("host", "x\"><y");
    assert!(!odd.get("/feed.atom").await.contains("x\"><y"));
}

#[tokio::test]
async fn markdown_is_shown_as_such_where_it_is_wanted_and_can_do_no_harm() {
    let blog = Blog::with_post()
        .await
        .configured(|app| std::sync::Arc::make_mut(&mut app.site).markup = Markup::Markdown);
    blog.execute(
        "UPDATE post SET body = '**bold** <script>alert(1)</script> [x](javascript:y)' WHERE id = 1",
    )
    .await;
    for path in ["/", "/1", "/author/1", "/feed.atom"] {
        let page = blog.browser().get(path).await;
        assert!(page.contains("strong") && page.contains("bold"), "{path}: {}", page.body);
        assert!(!page.contains("<script") && !page.contains("javascript:"), "{path}: {}", page.body);
    }
    let plain = Blog::with_post().await;
    plain.execute("UPDATE post SET body = '**bold**' WHERE id = 1").await;
    assert!(plain.browser().get("/1").await.contains("<p class=\"body\">**bold**</p>"));
}

#[tokio::test]
async fn a_page_that_the_browser_has_is_not_sent_again_until_it_changes() {
    let blog = Blog::with_post().await;
    let first = blog.browser().get("/").await;
    let tag = first.header("etag").unwrap().to_owned();
    assert_eq!(first.header("vary"), Some("Cookie, Accept-Encoding"));
    let mut again = blog.browser().with("if-none-match", &tag);
    let answer = again.get("/").await;
    assert_eq!((answer.status, answer.body.as_str()), (StatusCode::NOT_MODIFIED, ""));
    let mut member = blog.browser_of("test").await.with("if-none-match", &tag);
    let page = member.get("/").await;
    assert_eq!(
        (page.status, page.header("etag")),
        (StatusCode::OK, None),
        "a page that depends on the session has no tag"
    );
    assert_eq!(member.post("/create", &[("title", "new"), ("body", "")]).await.location(), "/");
    let changed = again.get("/").await;
    assert_eq!(
        (changed.status, changed.titles()),
        (StatusCode::OK, vec!["new".to_owned(), "test title".to_owned()])
    );
}

#[tokio::test]
async fn a_write_at_one_replica_is_seen_at_every_other_within_about_a_second() {
    let blog = Blog::with_post().await;
    let replica = blog.replica(keys("key", None));
    assert_eq!(replica.browser().get("/").await.titles().len(), 1);
    let mut writer = blog.browser_of("test").await;
    writer.post("/create", &[("title", "new"), ("body", "")]).await;
    assert_eq!(writer.get("/").await.titles().len(), 2, "at once for the author");
    let mut elsewhere = replica.browser();
    elsewhere.cookie.clone_from(&writer.cookie);
    assert_eq!(elsewhere.get("/").await.titles().len(), 1, "kept there for a second");
    elsewhere.wrote.clone_from(&writer.wrote);
    assert_eq!(elsewhere.get("/").await.titles().len(), 2, "at every replica");
    assert_eq!(blog.browser().get("/").await.titles().len(), 2, "and for readers of the same replica");
    tokio::time::sleep(std::time::Duration::from_millis(1050)).await;
    assert_eq!(replica.browser().get("/").await.titles().len(), 2);
    writer.post("/2/delete", &[]).await;
    assert_eq!(blog.browser().get("/2").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn long_pages_are_compressed_as_the_browser_likes() {
    let blog = Blog::with_post().await;
    blog.execute(&format!("UPDATE post SET body = '{}' WHERE id = 1", "words ".repeat(2000))).await;
    let plain = blog.browser().get("/1").await;
    assert_eq!(plain.header("content-encoding"), None);
    for (accepted, coding) in [("gzip, deflate, br", "br"), ("gzip, zstd", "zstd"), ("gzip", "gzip")] {
        let (headers, bytes) = blog.browser().with("accept-encoding", accepted).get_bytes("/1").await;
        assert_eq!(headers["content-encoding"], coding);
        assert_eq!(headers["etag"], plain.header("etag").unwrap());
        assert!(bytes.len() * 10 < plain.body.len(), "{coding}: {} bytes", bytes.len());
    }
    let mut member = blog.browser_of("test").await.with("accept-encoding", "br");
    assert_eq!(member.get("/1").await.header("content-encoding"), None, "secrets beside other users' texts");
}
