//! What hostile texts cost the readers of other pages.

use std::sync::{Arc, mpsc};

use axum::http::StatusCode;
use blog_app::config::Markup;

use super::Blog;

async fn markdown_blog(body: &str) -> Blog {
    let blog =
        Blog::with_post().await.configured(|app| Arc::make_mut(&mut app.site).markup = Markup::Markdown);
    let mut author = blog.browser_of("test").await;
    assert_eq!(author.post("/1/update", &[("title", "deep"), ("body", body)]).await.location(), "/");
    blog
}

/// The test's runtime has one thread, so rendering there would delay the other request.
#[tokio::test]
async fn texts_are_rendered_outside_of_the_requests_threads() {
    let blog = markdown_blog("*text*").await;
    let pool = blog.app.pool.clone();
    let (busy, mut occupied) = (Arc::new(()), Vec::new());
    let mut ends = Vec::new();
    // More than the number of permits, so that none is left.
    for _ in 0..8 {
        let (end, ended) = mpsc::channel::<()>();
        let (pool, held) = (pool.clone(), Arc::clone(&busy));
        ends.push(end);
        occupied.push(tokio::spawn(async move {
            pool.run(move || {
                let _ = ended.recv();
                drop(held);
            })
            .await
        }));
    }
    let mut reader = blog.browser();
    let reading = tokio::spawn(async move { reader.get("/1").await });
    for _ in 0..20 {
        assert_eq!(blog.browser().get("/hello").await.status, StatusCode::OK);
    }
    assert!(!reading.is_finished(), "the text was rendered somewhere else");
    drop(ends);
    assert!(reading.await.unwrap().contains("<em>text</em>"));
    for one in occupied {
        one.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_text_nested_without_end_is_shown_in_bounded_depth() {
    let blog = markdown_blog(&format!("{}deep", ">".repeat(60_000))).await;
    for path in ["/", "/1", "/author/1", "/feed.atom"] {
        let page = blog.browser().get(path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        assert!(page.body.len() < 20_000, "{path} has {} bytes", page.body.len());
    }
}

#[tokio::test]
async fn a_text_that_would_become_too_long_is_shown_as_it_is() {
    let blog = markdown_blog(&"[](b)".repeat(13_000)).await;
    let page = blog.browser().get("/1").await;
    assert!(page.contains("<p class=\"body\">[](b)[](b)"), "{}", &page.body[..2000]);
}
