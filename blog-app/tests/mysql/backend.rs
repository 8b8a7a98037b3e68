//! Gives each test its own database, on the server in `BLOG_TEST_MYSQL_URL`.

use std::path::Path;

use blog_app::config::DatabaseConfig;
use blog_app::db::Database;
use sqlx::{AssertSqlSafe, Connection, Executor, MySqlConnection};

pub struct TestDatabase {
    name: String,
    pub url: String,
}

impl TestDatabase {
    pub async fn create() -> Self {
        let name = format!("blog_test_{:016x}", rand::random::<u64>());
        as_root(&format!("CREATE DATABASE {name}")).await;
        let url = format!("{}/{name}", root_url());
        Self { name, url }
    }

    pub fn connect(&self) -> Database {
        connect(&self.url)
    }

    /// As `connect`: what the suite sets here holds for the whole server.
    pub async fn connect_once(&self) -> Database {
        self.connect()
    }

    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        as_root_blocking(format!("DROP DATABASE {}", self.name));
    }
}

/// An account with all permissions on one test's database, dropped with the test.
pub struct Account {
    pub user: String,
    pub host: String,
    pub port: String,
}

impl Account {
    pub async fn create(database: &TestDatabase, password: &str) -> Self {
        let user = format!("a{:016x}", rand::random::<u64>());
        as_root(&format!("CREATE USER {user}@'%' IDENTIFIED BY '{password}'")).await;
        as_root(&format!("GRANT ALL ON {}.* TO {user}@'%'", database.name())).await;
        let root = root_url();
        let (host, port) = root.rsplit('@').next().unwrap().split_once(':').unwrap();
        Self { user, host: host.to_owned(), port: port.to_owned() }
    }
}

impl Account {
    /// The program's settings for it, with the secrets in files of this directory.
    pub fn settings(
        &self,
        database: &TestDatabase,
        directory: &Path,
        password: &str,
    ) -> Vec<(&'static str, String)> {
        let write = |name: &str, content: &[u8]| {
            let path = directory.join(name);
            std::fs::write(&path, content).unwrap();
            path.display().to_string()
        };
        vec![
            ("BLOG_DATABASE_HOST", self.host.clone()),
            ("BLOG_DATABASE_PORT", self.port.clone()),
            ("BLOG_DATABASE_NAME", database.name().to_owned()),
            ("BLOG_DATABASE_USER", self.user.clone()),
            ("BLOG_DATABASE_PASSWORD_FILE", write("password", password.as_bytes())),
            ("BLOG_SESSION_KEY_FILE", write("key", &[7; 64])),
        ]
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        as_root_blocking(format!("DROP USER {}@'%'", self.user));
    }
}

pub fn connect(url: &str) -> Database {
    let args = blog_app::config::DatabaseArgs { database_url: Some(url.to_owned()), ..Default::default() };
    Database::lazy(&DatabaseConfig::resolve(&args, &|_| None).unwrap())
}

pub async fn as_root(statement: &str) {
    let mut connection = MySqlConnection::connect(&root_url()).await.expect("the test server answers");
    connection.execute(AssertSqlSafe(statement.to_owned())).await.unwrap();
    connection.close().await.unwrap();
}

/// The test's own runtime may have ended already, and `drop` can't wait for it.
fn as_root_blocking(statement: String) {
    let done = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(as_root(&statement));
    });
    done.join().expect("the statement is run");
}

pub fn root_url() -> String {
    let url = std::env::var("BLOG_TEST_MYSQL_URL")
        .expect("BLOG_TEST_MYSQL_URL must be set: BLOG_TEST_MYSQL_URL=$(dev/mysql-test.sh start)");
    url.trim_end_matches('/').to_owned()
}

/// Raises the server's own error for a full disk at every new post.
pub async fn fill_disk(database: &Database) {
    let trigger = "CREATE TRIGGER full_disk BEFORE INSERT ON post FOR EACH ROW \
                   SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1114, MESSAGE_TEXT = 'The table ''post'' is full'";
    crate::suite::execute(database, trigger).await;
}

pub async fn empty_disk(database: &Database) {
    crate::suite::execute(database, "DROP TRIGGER full_disk").await;
}

/// The original's init script, without its DROP DATABASE.
pub const ORIGINAL_SCHEMA: &[&str] = &[
    "CREATE TABLE user (id INT AUTO_INCREMENT PRIMARY KEY, username VARCHAR(255) UNIQUE NOT NULL, \
     password VARCHAR(255) NOT NULL)",
    "CREATE TABLE post (id INT AUTO_INCREMENT PRIMARY KEY, author_id INT NOT NULL, \
     created TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, title VARCHAR(255) NOT NULL, \
     body VARCHAR(255) NOT NULL, FOREIGN KEY (author_id) REFERENCES user (id))",
];

/// Number of statements in all migrations.
pub const STATEMENTS: usize = 8;
