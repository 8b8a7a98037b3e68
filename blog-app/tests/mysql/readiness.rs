//! What `/readyz` reports of a server that refuses.

use blog_app::db::Database;
use blog_app::health::Readiness;
use sqlx::Executor;

use crate::suite::Blog;

#[tokio::test]
async fn readyz_of_a_read_only_server_says_so_and_pages_are_served() {
    let blog = Blog::with_post().await;
    let Database::MySql(server) = &blog.app.database else { panic!("this suite runs on MySQL") };
    let count = server.pool().size();
    assert!(count > 0);
    let mut held = Vec::new();
    for _ in 0..count {
        let mut connection = server.pool().acquire().await.unwrap();
        connection.execute("SET SESSION transaction_read_only = ON").await.unwrap();
        held.push(connection);
    }
    drop(held);
    // Dropped connections return to the pool a moment later.
    while server.pool().num_idle() < count as usize {
        tokio::task::yield_now().await;
    }
    let readiness = Readiness::new(blog.app.database.clone());
    let reasons = readiness.reasons().await;
    assert_eq!(reasons, ["the database takes no writes: the session is read-only (error 1792)"]);
    assert!(readiness.is_serving().await);
}
