//! A SQLite file of its own for each test.

use blog_app::config::DatabaseConfig;
use blog_app::db::Database;

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
}

pub fn connect(url: &str) -> Database {
    let args = blog_app::cli::DatabaseArgs { database_url: Some(url.to_owned()), ..Default::default() };
    Database::lazy(&DatabaseConfig::resolve(&args, &|_| None).unwrap())
}

/// Flaskr's schema.sql, as a database of it has it.
pub const ORIGINAL_SCHEMA: &[&str] = &[
    "CREATE TABLE user (id INTEGER PRIMARY KEY AUTOINCREMENT, username TEXT UNIQUE NOT NULL, \
     password TEXT NOT NULL)",
    "CREATE TABLE post (id INTEGER PRIMARY KEY AUTOINCREMENT, author_id INTEGER NOT NULL, \
     created TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, title TEXT NOT NULL, body TEXT NOT NULL, \
     FOREIGN KEY (author_id) REFERENCES user (id))",
];

/// Statements that all migrations together have.
pub const STATEMENTS: usize = 4;
