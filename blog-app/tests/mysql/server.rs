//! How the program connects to the server, and how server errors are reported.

use blog_app::db::Database;
use blog_app::store::migrate::migrate;
use sqlx::{AssertSqlSafe, Connection, Executor, MySqlConnection, MySqlPool};

use crate::backend::{TestDatabase, as_root, connect, root_url};
use crate::suite::{Blog, keys};

fn pool(database: &Database) -> &MySqlPool {
    match database {
        Database::MySql(server) => server.pool(),
        Database::Sqlite(_) => panic!("this suite runs on MySQL"),
    }
}

async fn text(database: &Database, statement: &str) -> String {
    sqlx::query_scalar(AssertSqlSafe(statement.to_owned())).fetch_one(pool(database)).await.unwrap()
}

async fn cipher(database: &Database) -> String {
    text(
        database,
        "SELECT variable_value FROM performance_schema.session_status WHERE variable_name = 'Ssl_cipher'",
    )
    .await
}

#[tokio::test]
async fn connections_are_encrypted_strict_and_in_utc() {
    let blog = Blog::new().await;
    let database = &blog.app.database;
    assert_ne!(cipher(database).await, "");
    assert_eq!(text(database, "SELECT @@SESSION.time_zone").await, "+00:00");
    assert_eq!(text(database, "SELECT @@SESSION.character_set_client").await, "utf8mb4");
    assert!(text(database, "SELECT @@SESSION.sql_mode").await.contains("STRICT_TRANS_TABLES"));
}

#[tokio::test]
async fn an_account_of_the_default_kind_works_with_and_without_tls() {
    let blog = Blog::with_post().await;
    let user = blog.database.name().replace("blog_test_", "u");
    let name = blog.database.name();
    as_root(&format!("CREATE USER {user}@'%' IDENTIFIED BY 'p@ss'")).await;
    as_root(&format!("GRANT SELECT, INSERT, UPDATE, DELETE ON {name}.* TO {user}@'%'")).await;
    let address = root_url().rsplit('@').next().unwrap().to_owned();
    for (query, encrypted) in [("", true), ("?ssl-mode=DISABLED", false)] {
        // The server remembers a login over TLS and shortens the next one; this test needs the full login.
        as_root("FLUSH PRIVILEGES").await;
        let database = connect(&format!("mysql://{user}:p%40ss@{address}/{name}{query}"));
        assert_eq!(!cipher(&database).await.is_empty(), encrypted);
        let replica = Blog::with(database, std::sync::Arc::clone(&blog.database), keys("key", None));
        let mut browser = replica.browser_of("test").await;
        assert_eq!(browser.post("/create", &[("title", "t"), ("body", "")]).await.location(), "/");
    }
    as_root(&format!("DROP USER {user}@'%'")).await;
}

#[tokio::test]
async fn the_index_reads_one_page_whatever_the_number_of_posts() {
    let blog = Blog::with_post().await;
    for second in 0..3 {
        let values: Vec<String> = (0..1000)
            .map(|number| format!("(1, '2026-01-01 00:{:02}:0{second}', 't{number}', 'b')", number % 60))
            .collect();
        let insert =
            format!("INSERT INTO post (author_id, created, title, body) VALUES {}", values.join(","));
        blog.execute(&insert).await;
    }
    blog.execute("ANALYZE TABLE post").await;
    let rows_read = "SELECT CAST(SUM(count_read) AS SIGNED) FROM performance_schema.table_io_waits_summary_by_table \
                     WHERE object_schema = DATABASE() AND object_name = 'post'";
    let mut browser = blog.browser();
    let mut path = "/".to_owned();
    for _ in 0..3 {
        let before = blog.count(rows_read).await;
        let page = browser.get(&path).await;
        assert_eq!(page.titles().len(), 20);
        let read = blog.count(rows_read).await - before;
        assert!(read <= 100, "{read} rows read for {path}");
        let link = page.body.split("class=\"older\" href=\"").nth(1).unwrap();
        path = link.split('"').next().unwrap().to_owned();
    }
}

/// The original's account may only read and write rows, so it can't migrate.
#[tokio::test]
async fn the_originals_tables_and_account_are_enough_and_what_does_not_fit_is_told_in_the_form() {
    let database = std::sync::Arc::new(TestDatabase::create().await);
    for statement in crate::backend::ORIGINAL_SCHEMA {
        crate::suite::execute(&database.connect(), statement).await;
    }
    let (name, user) = (database.name().to_owned(), database.name().replace("blog_test_", "f"));
    as_root(&format!("ALTER TABLE {name}.post MODIFY title VARCHAR(255) CHARACTER SET utf8mb3 NOT NULL"))
        .await;
    as_root(&format!("CREATE USER {user}@'%' IDENTIFIED BY 'flask'")).await;
    as_root(&format!("GRANT SELECT, INSERT, UPDATE, DELETE ON {name}.* TO {user}@'%'")).await;
    let address = root_url().rsplit('@').next().unwrap().to_owned();
    let connected = connect(&format!("mysql://{user}:flask@{address}/{name}"));
    let readiness = blog_app::routes::health::Readiness::new(connected.clone());
    assert_eq!(readiness.reasons().await, Vec::<String>::new());
    let blog = Blog::with(connected, database, keys("key", None));
    blog.register("bob").await;
    let mut bob = blog.browser_of("bob").await;
    let long = "x".repeat(256);
    for (title, body, words) in [
        ("t", long.as_str(), "Body is longer than this blog's database can hold"),
        ("\u{1f363}", "b", "Text has characters other than those that this blog's database can hold"),
    ] {
        let answer = bob.post("/create", &[("title", title), ("body", body)]).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert!(answer.flash().contains(words), "{}", answer.flash());
        assert_eq!((answer.field("title").as_str(), answer.field("body").as_str()), (title, body));
    }
    assert_eq!(bob.post("/create", &[("title", "fits"), ("body", &long[..255])]).await.location(), "/");
    assert_eq!(bob.get("/").await.titles(), ["fits"]);
    as_root(&format!("DROP USER {user}@'%'")).await;
}

#[tokio::test]
async fn a_second_migrator_waits_until_the_first_is_done() {
    let database = TestDatabase::create().await;
    let mut first = MySqlConnection::connect(&database.url).await.unwrap();
    let lock = "SELECT GET_LOCK(CONCAT('blog-migrate-', LEFT(SHA2(DATABASE(), 256), 40)), 0)";
    assert_eq!(sqlx::query_scalar::<_, i64>(lock).fetch_one(&mut first).await.unwrap(), 1);
    let connected = database.connect();
    let second = tokio::spawn(async move {
        migrate(&connected, &mut |_| std::ops::ControlFlow::Continue(())).await.unwrap()
    });
    let waiting = format!(
        "SELECT COUNT(*) FROM performance_schema.processlist WHERE state = 'User lock' AND db = '{}'",
        database.name()
    );
    while sqlx::query_scalar::<_, i64>(AssertSqlSafe(waiting.clone())).fetch_one(&mut first).await.unwrap()
        == 0
    {
        assert!(!second.is_finished(), "it didn't wait");
    }
    let tables = "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE()";
    assert_eq!(sqlx::query_scalar::<_, i64>(tables).fetch_one(&mut first).await.unwrap(), 0);
    first.execute("DO RELEASE_ALL_LOCKS()").await.unwrap();
    assert_eq!(second.await.unwrap().from, 0);
}
