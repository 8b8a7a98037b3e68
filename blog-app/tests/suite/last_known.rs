//! What is shown while the database is unavailable, and what must not be.

use std::time::Duration;

use axum::http::StatusCode;

use super::{Blog, keys};

const PAGES: [&str; 4] = ["/", "/1", "/author/1", "/3"];

/// A blog whose post 1 has a neighbour, with all its pages cached.
async fn read_blog() -> Blog {
    let blog = Blog::with_post().await;
    blog.execute(
        "INSERT INTO post (title, body, author_id, created) VALUES ('second', 'b', 2, '2010-01-01 00:00:00'), \
         ('third', 'c', 2, '2018-01-01 00:00:01')",
    )
    .await;
    read_all(&blog).await;
    blog
}

async fn read_all(blog: &Blog) {
    for path in PAGES.into_iter().chain(["/2"]) {
        assert_eq!(blog.browser().get(path).await.status, StatusCode::OK, "{path}");
    }
}

/// The pages that still show this text while the database is unavailable.
async fn pages_showing(blog: &Blog, text: &str) -> Vec<&'static str> {
    blog.app.database.close().await;
    let mut showing = Vec::new();
    for path in PAGES {
        let mut browser = blog.browser();
        // A client that has just written receives nothing older.
        browser.wrote = Some("1".to_owned());
        let answer = browser.get(path).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path}: {}", answer.body);
        if answer.contains(text) {
            showing.push(path);
        }
    }
    showing
}

#[tokio::test]
async fn pages_read_before_are_shown_while_the_database_is_away() {
    let blog = read_blog().await;
    assert_eq!(pages_showing(&blog, "test title").await, PAGES);
}

#[tokio::test]
async fn a_deleted_post_never_comes_back_from_kept_pages() {
    let blog = read_blog().await;
    blog.browser_of("test").await.post("/1/delete", &[]).await;
    assert_eq!(pages_showing(&blog, "test title").await, Vec::<&str>::new());
    assert!(!blog.browser().get("/feed.atom").await.contains("test title"));
    assert!(blog.browser().get("/2").await.contains("second"), "what it doesn't concern is still shown");
}

#[tokio::test]
async fn an_edited_post_never_comes_back_as_it_was() {
    let blog = read_blog().await;
    let mut author = blog.browser_of("test").await;
    author.post("/1/update", &[("title", "new title"), ("body", "new")]).await;
    assert_eq!(pages_showing(&blog, "test title").await, Vec::<&str>::new());
    assert!(!blog.browser().get("/feed.atom").await.contains("test title"));
}

#[tokio::test]
async fn a_write_in_doubt_takes_its_post_out_of_kept_pages() {
    let blog = read_blog().await;
    // The response to the write is lost, and the client hangs up.
    drop(blog.app.page_cache.write(Some(1)));
    assert_eq!(pages_showing(&blog, "test title").await, Vec::<&str>::new());
}

#[tokio::test]
async fn what_another_replica_deleted_goes_when_pages_are_rechecked() {
    let blog = read_blog().await;
    let other = blog.replica(keys("key", None));
    read_all(&other).await;
    blog.browser_of("test").await.post("/1/delete", &[]).await;
    other.app.page_cache.recheck(&other.app.database, Duration::ZERO).await;
    assert_eq!(pages_showing(&other, "test title").await, Vec::<&str>::new());
}

#[tokio::test]
async fn a_recheck_without_the_database_forgets_nothing() {
    let blog = read_blog().await;
    blog.app.database.close().await;
    blog.app.page_cache.recheck(&blog.app.database, Duration::ZERO).await;
    assert_eq!(pages_showing(&blog, "test title").await, PAGES);
}

#[tokio::test]
async fn kept_pages_are_weighed_with_all_their_forms() {
    let blog = Blog::with_post().await;
    blog.browser().get("/1").await;
    let plain = blog.app.page_cache.weight();
    assert!(plain > 0);
    let noise: String =
        (0..40_000_u64).map(|at| format!("{:x} ", at.wrapping_mul(0x9E37_79B9_7F4A_7C15))).collect();
    blog.execute(&format!("UPDATE post SET body = '{}'", &noise[..60_000])).await;
    let mut sizes = vec![blog.app.page_cache.weight()];
    for coding in ["identity", "br", "zstd", "gzip"] {
        let mut browser = blog.browser().with("accept-encoding", coding).with("cookie", "wrote=1");
        let (_, bytes) = browser.get_bytes("/1").await;
        sizes.push(blog.app.page_cache.weight());
        let grown = sizes[sizes.len() - 1] - sizes[sizes.len() - 2];
        assert!(grown >= bytes.len() as u64, "{coding}: {grown} of {}", bytes.len());
    }
}
