//! Pools of connections to MySQL or SQLite, and the time limits of statements.

use std::path::Path;
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::mysql::{MySqlConnectOptions, MySqlPool, MySqlPoolOptions};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

use super::mysql_login::{self, MySql};
use super::sqlite::Sqlite;
use super::writes::Writes;
use crate::config::{DatabaseConfig, Redacted, Target};

/// Time limit for getting a connection, including connecting.
pub const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
/// Time limit of one statement.
pub const STATEMENT_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) const POOL_SIZE: u32 = 10;
const CONNECTION_LIFETIME: Duration = Duration::from_secs(30 * 60);
const IDLE_TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// Session settings for MySQL.
///
/// Strict mode, whatever the server's default: a value that doesn't fit is an error and is never truncated. A statement
/// that waits for a lock ends by itself, even if its client has gone.
pub(super) const MYSQL_SESSION: &str = "SET SESSION sql_mode = 'ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,\
    NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION', innodb_lock_wait_timeout = 4, \
    lock_wait_timeout = 5, max_execution_time = 5000";

/// A pool of connections to MySQL or SQLite. Clones share it.
#[derive(Clone, Debug)]
pub enum Database {
    /// A MySQL server.
    MySql(MySql),
    /// A SQLite file.
    Sqlite(Sqlite),
}

impl Database {
    /// Creates the pool without connecting, so the blog starts without its database too.
    #[must_use]
    pub fn lazy(config: &DatabaseConfig) -> Self {
        match &config.target {
            Target::MySql(Redacted(options)) => {
                let pool = mysql_pool(MySqlConnectOptions::clone(options));
                Self::MySql(MySql::new(pool, config.clone()))
            }
            Target::Sqlite(file) => Self::Sqlite(Sqlite::new(sqlite_pool(file))),
        }
    }

    /// Opens a SQLite file for reading only, without migrating it.
    #[must_use]
    pub fn read_only(file: &Path) -> Self {
        let options = SqliteConnectOptions::new().filename(file).read_only(true).disable_statement_logging();
        Self::Sqlite(Sqlite::new(SqlitePoolOptions::new().max_connections(1).connect_lazy_with(options)))
    }

    /// Opens an empty SQLite in memory, for trial imports.
    #[must_use]
    pub fn in_memory() -> Self {
        let options =
            SqliteConnectOptions::new().in_memory(true).foreign_keys(true).disable_statement_logging();
        // The database ends with its only connection.
        let pool = SqlitePoolOptions::new().max_connections(1).idle_timeout(None).max_lifetime(None);
        Self::Sqlite(Sqlite::new(pool.connect_lazy_with(options)))
    }

    /// Number of connections, and of idle ones.
    #[must_use]
    pub fn pool_usage(&self) -> (u32, usize) {
        match self {
            Self::MySql(server) => (server.pool().size(), server.pool().num_idle()),
            Self::Sqlite(file) => (file.pool().size(), file.pool().num_idle()),
        }
    }

    /// Closes all connections, at the end of the process and of tests.
    pub async fn close(&self) {
        match self {
            Self::MySql(server) => server.pool().close().await,
            Self::Sqlite(file) => file.pool().close().await,
        }
    }

    /// What writes have found out about the database.
    pub(crate) fn writes(&self) -> &Writes {
        match self {
            Self::MySql(server) => server.writes(),
            Self::Sqlite(file) => &file.writes,
        }
    }

    /// Why connections fail, if that was found a moment ago.
    ///
    /// A connection outside the pool finds it.
    #[must_use]
    pub fn absence(&self) -> Option<String> {
        match self {
            Self::MySql(server) => server.absence(),
            Self::Sqlite(_) => None,
        }
    }
}

fn mysql_pool(options: MySqlConnectOptions) -> MySqlPool {
    MySqlPoolOptions::new()
        .max_connections(POOL_SIZE)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .max_lifetime(CONNECTION_LIFETIME)
        .idle_timeout(IDLE_TIMEOUT)
        // A ping before each use would double the round trips; `acquire_checked` pings where it is needed.
        .test_before_acquire(false)
        .after_connect(|connection, _| Box::pin(mysql_login::prepare(connection)))
        .connect_lazy_with(options)
}

fn sqlite_pool(file: &Path) -> SqlitePool {
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .foreign_keys(true)
        .journal_mode(SqliteJournalMode::Wal)
        // With NORMAL, a power failure could lose a post that was already confirmed.
        .synchronous(SqliteSynchronous::Full)
        // The root file system may be read-only, so there is no place for temporary files.
        .pragma("temp_store", "memory")
        .busy_timeout(Duration::from_secs(4))
        .disable_statement_logging();
    SqlitePoolOptions::new()
        .max_connections(POOL_SIZE)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .idle_timeout(IDLE_TIMEOUT)
        .test_before_acquire(false)
        .connect_lazy_with(options)
}
