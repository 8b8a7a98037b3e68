//! What `/readyz` reports of a server that refuses.

use blog_app::db::Database;
use blog_app::routes::health::Readiness;
use sqlx::Executor;

use crate::suite::Blog;

#[tokio::test]
async fn readyz_of_a_read_only_server_says_so_and_pages_are_served() {
    let blog = Blog::with_post().await;
    let Database::MySql(server) = &blog.app.database else { panic!("this suite runs on MySQL") };
    let pool = server.pool();
    let mut held = Vec::new();
    // The pool opens another connection while a used one isn't idle yet.
    while held.is_empty() || held.len() < pool.size() as usize {
        let mut connection = pool.acquire().await.unwrap();
        connection.execute("SET SESSION transaction_read_only = ON").await.unwrap();
        held.push(connection);
    }
    drop(held);
    // Dropped connections return to the pool a moment later.
    while pool.num_idle() < pool.size() as usize {
        tokio::task::yield_now().await;
    }
    let readiness = Readiness::new(blog.app.database.clone());
    let reasons = readiness.reasons().await;
    assert_eq!(reasons, ["the database takes no writes: the session is read-only (error 1792)"]);
    assert!(readiness.is_serving().await);
}
