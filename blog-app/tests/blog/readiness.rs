//! What `/readyz` reports of a file that can't be written.

use blog_app::db::Database;
use blog_app::routes::health::Readiness;

use crate::suite::Blog;

#[tokio::test]
async fn readyz_of_a_read_only_file_says_so_and_pages_are_served() {
    let blog = Blog::with_post().await;
    let file = blog.database.url.trim_start_matches("sqlite:").to_owned();
    let readiness = Readiness::new(Database::read_only(std::path::Path::new(&file)));
    let reasons = readiness.reasons().await;
    assert_eq!(reasons, ["the database takes no writes: its file is read-only"]);
    assert!(readiness.is_serving().await);
}

#[tokio::test]
async fn readyz_of_a_server_that_is_not_there_names_the_true_cause() {
    for (host, cause) in [
        ("127.0.0.1:1", "refuses the connection: no server listens at its port"),
        ("nowhere.invalid:3306", "host name can't be resolved"),
    ] {
        let database = crate::backend::connect(&format!("mysql://u:s3cret@{host}/d"));
        let reasons = Readiness::new(database).reasons().await;
        assert_eq!(reasons.len(), 1, "{reasons:?}");
        assert!(reasons[0].starts_with("the database is not available: "), "{reasons:?}");
        assert!(reasons[0].contains(cause) && !reasons[0].contains("s3cret"), "{reasons:?}");
    }
}
