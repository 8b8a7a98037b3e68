//! Gives each test its own SQLite file.

use blog_app::config::DatabaseConfig;
use blog_app::db::{Database, Sqlite};
use sqlx::sqlite::SqlitePoolOptions;

pub struct TestDatabase {
    _directory: tempfile::TempDir,
    pub url: String,
}

impl TestDatabase {
    pub async fn create() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}/flaskr.sqlite", directory.path().display());
        Self { _directory: directory, url }
    }

    pub fn connect(&self) -> Database {
        connect(&self.url)
    }

    /// One connection only, so that its settings hold for every statement.
    pub async fn connect_once(&self) -> Database {
        let Database::Sqlite(file) = self.connect() else { panic!("this suite runs on SQLite") };
        let options = file.pool().connect_options().as_ref().clone();
        Database::Sqlite(Sqlite::new(SqlitePoolOptions::new().max_connections(1).connect_lazy_with(options)))
    }
}

pub fn connect(url: &str) -> Database {
    let args = blog_app::config::DatabaseArgs { database_url: Some(url.to_owned()), ..Default::default() };
    Database::lazy(&DatabaseConfig::resolve(&args, &|_| None).unwrap())
}

/// Limits the file to its current number of pages.
pub async fn fill_disk(database: &Database) {
    crate::suite::execute(database, "PRAGMA max_page_count = 1").await;
}

pub async fn empty_disk(database: &Database) {
    crate::suite::execute(database, "PRAGMA max_page_count = 1000000").await;
}

/// Flaskr's schema.sql, as SQLite stores it.
pub const ORIGINAL_SCHEMA: &[&str] = &[
    "CREATE TABLE user (id INTEGER PRIMARY KEY AUTOINCREMENT, username TEXT UNIQUE NOT NULL, \
     password TEXT NOT NULL)",
    "CREATE TABLE post (id INTEGER PRIMARY KEY AUTOINCREMENT, author_id INTEGER NOT NULL, \
     created TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, title TEXT NOT NULL, body TEXT NOT NULL, \
     FOREIGN KEY (author_id) REFERENCES user (id))",
];

/// Number of statements in all migrations.
pub const STATEMENTS: usize = 7;
