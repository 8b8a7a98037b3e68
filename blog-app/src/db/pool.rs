//! Pools of connections to one of the two databases, and how long anything may take.

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

/// How long a request waits for a connection, connecting included.
pub const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
/// How long one statement may take.
pub const STATEMENT_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) const POOL_SIZE: u32 = 10;
const CONNECTION_LIFETIME: Duration = Duration::from_secs(30 * 60);
const IDLE_TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// Strict whatever the server's default is: what doesn't fit is an error and never cut. A statement that waits for a lock
/// ends by itself, also if its client has gone.
pub(super) const MYSQL_SESSION: &str = "SET SESSION sql_mode = 'ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,\
    NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION', innodb_lock_wait_timeout = 4, \
    lock_wait_timeout = 5, max_execution_time = 5000";

/// A pool of connections to one of the two databases. Cloning shares the pool.
#[derive(Clone, Debug)]
pub enum Database {
    /// MySQL.
    MySql(MySql),
    /// SQLite.
    Sqlite(Sqlite),
}

impl Database {
    /// Makes the pool without connecting: a database that is away is no reason not to start.
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

    /// A SQLite file that is only looked at, and not migrated either.
    #[must_use]
    pub fn read_only(file: &Path) -> Self {
        let options = SqliteConnectOptions::new().filename(file).read_only(true).disable_statement_logging();
        Self::Sqlite(Sqlite::new(SqlitePoolOptions::new().max_connections(1).connect_lazy_with(options)))
    }

    /// An empty SQLite in memory, for trials.
    #[must_use]
    pub fn in_memory() -> Self {
        let options =
            SqliteConnectOptions::new().in_memory(true).foreign_keys(true).disable_statement_logging();
        // It is gone with its only connection.
        let pool = SqlitePoolOptions::new().max_connections(1).idle_timeout(None).max_lifetime(None);
        Self::Sqlite(Sqlite::new(pool.connect_lazy_with(options)))
    }

    /// Connections that exist, and how many of them are idle.
    #[must_use]
    pub fn pool_usage(&self) -> (u32, usize) {
        match self {
            Self::MySql(server) => (server.pool().size(), server.pool().num_idle()),
            Self::Sqlite(file) => (file.pool().size(), file.pool().num_idle()),
        }
    }

    /// Closes all connections; for the end of the process and of tests.
    pub async fn close(&self) {
        match self {
            Self::MySql(server) => server.pool().close().await,
            Self::Sqlite(file) => file.pool().close().await,
        }
    }

    /// What its writes found out.
    pub(crate) fn writes(&self) -> &Writes {
        match self {
            Self::MySql(server) => server.writes(),
            Self::Sqlite(file) => &file.writes,
        }
    }

    /// Why connections don't come, if one outside of the pool found it out a moment ago.
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
        // A ping before each use would double the round trips; `acquire_checked` is for those who need it.
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
        // With NORMAL a power cut could take an acknowledged post.
        .synchronous(SqliteSynchronous::Full)
        // The root file system may be read-only, so there is nowhere for temporary files.
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
