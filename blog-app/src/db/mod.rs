//! Connections: how a database is reached, how long anything may take, and what an error of it means.

mod connection_guard;
mod error_class;
mod mysql_login;
mod sqlite;
mod writes;

use std::path::Path;
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::mysql::{MySqlConnectOptions, MySqlPool, MySqlPoolOptions};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

pub(crate) use self::connection_guard::{Held, acquire, acquire_checked};
pub use self::error_class::{
    is_nobody_there, is_out_of_space, is_pool_timeout, is_read_only, loggable, server_problem,
};
pub use self::mysql_login::{MySql, RenewError};
pub(crate) use self::mysql_login::{close, connect};
pub use self::sqlite::Sqlite;
pub(crate) use self::writes::Writes;
use crate::config::{DatabaseConfig, Redacted, Target, tls};

/// How long a request waits for a connection, connecting included.
pub const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
/// How long one statement may take.
pub const STATEMENT_TIMEOUT: Duration = Duration::from_secs(5);

const POOL_SIZE: u32 = 10;
const CONNECTION_LIFETIME: Duration = Duration::from_secs(30 * 60);
const IDLE_TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// Strict whatever the server's default is: what doesn't fit is an error and never cut. A statement that waits for a lock
/// ends by itself, also if its client has gone.
const MYSQL_SESSION: &str = "SET SESSION sql_mode = 'ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,\
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

/// Whether the connection is of no use any more, as opposed to the statement.
#[must_use]
pub fn is_connection_lost(error: &sqlx::Error) -> bool {
    matches!(
        error,
        sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::PoolTimedOut
    )
}

pub(crate) fn mysql_number(error: &sqlx::Error) -> Option<u16> {
    let reason = error.as_database_error()?;
    Some(reason.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>()?.number())
}

/// MySQL's errors that pass by themselves: too many connections, account or database not there yet, shutdown,
/// read-only during a failover, offline mode, lock waits, deadlocks, a killed session.
const PASSING_MYSQL: &[u16] = &[
    1040, 1044, 1045, 1049, 1053, 1129, 1203, 1205, 1213, 1226, 1290, 1317, 1792, 1836, 1927, 3024, 3032,
    3169, 3572,
];
/// SQLite's: busy, locked, out of disk, not to be opened, not to be written. The low byte is the primary code.
const PASSING_SQLITE: &[i64] = &[5, 6, 8, 10, 13, 14];

/// Whether the database is away, in the sense that the same statement may well work later.
#[must_use]
pub fn is_unavailable(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::PoolClosed => true,
        full if is_out_of_space(full) => true,
        sqlx::Error::Database(reason) => {
            if let Some(mysql) = reason.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>() {
                return PASSING_MYSQL.contains(&mysql.number());
            }
            let code = reason.code().and_then(|code| code.parse::<i64>().ok());
            code.is_some_and(|code| PASSING_SQLITE.contains(&(code & 0xff)))
        }
        other => is_connection_lost(other),
    }
}

/// Whether the server answered that this account, or its database, isn't there. The right account may come with the next
/// read of its file, so it counts as unavailable too; but a replica that is refused has nothing to show by itself.
#[must_use]
pub fn is_refused(error: &sqlx::Error) -> bool {
    const REFUSED: [u16; 3] = [1044, 1045, 1049];
    mysql_number(error).is_some_and(|number| REFUSED.contains(&number))
}

/// Whether the server is there and this login is what is wrong, or we are there and its certificate is: what the files of
/// the settings hold by now may be right.
#[must_use]
pub fn is_login_outdated(error: &sqlx::Error) -> bool {
    is_password_refused(error) || tls::refusal(error).is_some()
}

/// Whether the server answered that the password is wrong, or the account unknown: it doesn't tell the two apart.
#[must_use]
pub fn is_password_refused(error: &sqlx::Error) -> bool {
    const ACCESS_DENIED: u16 = 1045;
    mysql_number(error) == Some(ACCESS_DENIED)
}

/// Which text didn't fit into its column, and whether for its length; nothing if that isn't what the error is about.
/// Only the column's name is taken from the message, which may quote the text.
#[must_use]
pub fn misfit(error: &sqlx::Error) -> Option<(&'static str, bool)> {
    const TOO_LONG: u16 = 1406;
    const INCORRECT_STRING: u16 = 1366;
    /// The same, told of a parameter and not of a column.
    const IMPOSSIBLE_CONVERSION: u16 = 3988;
    let reason = error.as_database_error()?;
    let too_long = match mysql_number(error)? {
        TOO_LONG => true,
        INCORRECT_STRING | IMPOSSIBLE_CONVERSION => false,
        _ => return None,
    };
    let named = |field: &&str| reason.message().contains(&format!(" for column '{field}' at row"));
    let field = ["title", "body", "username"].into_iter().find(named).unwrap_or("text");
    Some((field, too_long))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_connection_is_unavailable_and_a_missing_column_is_not() {
        let lost = sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into());
        assert!(is_unavailable(&lost));
        assert!(!is_unavailable(&sqlx::Error::ColumnNotFound("x".to_owned())));
    }
}
