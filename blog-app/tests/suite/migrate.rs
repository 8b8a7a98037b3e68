//! Migrations from an empty database, from the original, and from every point of an interruption.

use std::ops::ControlFlow;

use blog_app::SUPPORTED_SCHEMA;
use blog_app::db::Database;
use blog_app::store::migrate::{Error, Outcome, migrate};
use blog_app::store::schema::{Schema, current};

use super::{Blog, execute, keys};
use crate::backend::{ORIGINAL_SCHEMA, STATEMENTS, TestDatabase};

async fn version(database: &Database) -> u32 {
    current(database).await.unwrap().version
}

async fn migrated(database: &Database) -> Outcome {
    migrate(database, &mut |_| ControlFlow::Continue(())).await.unwrap()
}

/// The original's own data, its hash included.
async fn original() -> TestDatabase {
    let database = TestDatabase::create().await;
    let connected = database.connect();
    for statement in ORIGINAL_SCHEMA {
        execute(&connected, statement).await;
    }
    execute(
        &connected,
        "INSERT INTO user (username, password) VALUES ('test', 'pbkdf2:sha256:50000$TCI4GzcX$0de1'), \
         ('🍣', 'scrypt:32768:8:1$x$y')",
    )
    .await;
    execute(
        &connected,
        "INSERT INTO post (title, body, author_id, created) \
         VALUES ('test title', 'test 🍺', 1, '2018-01-01 00:00:00')",
    )
    .await;
    connected.close().await;
    database
}

async fn assert_whole(database: TestDatabase) {
    let blog = blog_on(database);
    assert_eq!(blog.count("SELECT COUNT(*) FROM user").await, 2);
    assert_eq!(
        blog.text("SELECT password FROM user WHERE id = 1").await,
        "pbkdf2:sha256:50000$TCI4GzcX$0de1"
    );
    let index = blog.browser().get("/").await;
    assert_eq!(index.titles(), ["test title"]);
    assert!(index.contains("by test on 2018-01-01") && index.contains("test 🍺"));
    blog.register("new").await;
    let mut browser = blog.browser_of("new").await;
    let body = "x".repeat(60_000);
    assert_eq!(browser.post("/create", &[("title", "t"), ("body", &body)]).await.location(), "/");
    assert_eq!(browser.get("/").await.titles(), ["t", "test title"]);
}

fn blog_on(database: TestDatabase) -> Blog {
    Blog::on(std::sync::Arc::new(database), keys("key", None))
}

#[tokio::test]
async fn an_empty_database_gets_the_newest_schema_once() {
    let database = TestDatabase::create().await;
    let connected = database.connect();
    let newest = *SUPPORTED_SCHEMA.end();
    assert_eq!(version(&connected).await, 0);
    assert_eq!(migrated(&connected).await, Outcome { from: 0, to: newest });
    assert_eq!(migrated(&connected).await, Outcome { from: newest, to: newest });
    assert_eq!(version(&connected).await, newest);
}

#[tokio::test]
async fn the_originals_tables_are_adopted_with_all_that_is_in_them() {
    let database = original().await;
    migrated(&database.connect()).await;
    assert_whole(database).await;
}

#[tokio::test]
async fn a_migration_killed_after_any_statement_is_finished_by_the_next_run() {
    for killed_after in 1..=STATEMENTS {
        let database = original().await;
        let mut left = killed_after;
        let outcome = migrate(&database.connect(), &mut |_| {
            left -= 1;
            if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .await;
        assert!(matches!(outcome, Err(Error::Stopped)), "after {killed_after}: {outcome:?}");
        assert!(version(&database.connect()).await < *SUPPORTED_SCHEMA.end());
        migrated(&database.connect()).await;
        assert_whole(database).await;
    }
}

#[tokio::test]
async fn migrators_at_once_do_the_work_once() {
    let database = original().await;
    let runs: Vec<_> = (0..4)
        .map(|_| {
            let connected = database.connect();
            tokio::spawn(async move { migrated(&connected).await })
        })
        .collect();
    let mut worked = 0;
    for run in runs {
        let outcome = run.await.unwrap();
        assert_eq!(outcome.to, *SUPPORTED_SCHEMA.end());
        worked += usize::from(outcome.from == 0);
    }
    assert_eq!(worked, 1);
    assert_whole(database).await;
}

async fn ahead(compatible_from: u32) -> (TestDatabase, Database) {
    let database = TestDatabase::create().await;
    let connected = database.connect();
    migrated(&connected).await;
    let insert = format!("INSERT INTO blog_schema (version, compatible_from) VALUES (99, {compatible_from})");
    execute(&connected, &insert).await;
    (database, connected)
}

#[tokio::test]
async fn a_database_that_is_ahead_is_left_alone() {
    let (_database, connected) = ahead(98).await;
    let error = migrate(&connected, &mut |_| ControlFlow::Continue(())).await.unwrap_err();
    assert!(matches!(error, Error::Newer { found: Schema { version: 99, compatible_from: 98 } }));
    assert!(!error.is_unavailable(), "waiting wouldn't help");
}

/// During a rollout of a newer release, and after a rollback, this release works on the newer schema.
#[tokio::test]
async fn a_database_that_is_ahead_but_still_fits_is_served_and_its_migration_has_nothing_to_do() {
    let (database, connected) = ahead(2).await;
    assert_eq!(migrated(&connected).await, Outcome { from: 99, to: 99 });
    let readiness = blog_app::routes::health::Readiness::new(connected);
    assert_eq!(readiness.reasons().await, Vec::<String>::new());
    blog_on(database).register("new").await;
}

#[tokio::test]
async fn the_originals_tables_are_served_as_they_are() {
    let database = original().await;
    assert_eq!(version(&database.connect()).await, 1);
    let readiness = blog_app::routes::health::Readiness::new(database.connect());
    assert_eq!(readiness.reasons().await, Vec::<String>::new());
    let blog = blog_on(database);
    assert_eq!(blog.browser().get("/").await.titles(), ["test title"]);
    blog.register("new").await;
    let mut browser = blog.browser_of("new").await;
    assert_eq!(browser.post("/create", &[("title", "t"), ("body", "b")]).await.location(), "/");
}
