//! All SQL.
//!
//! Each statement is written once and runs on MySQL and on SQLite. Parameters are `?`, times are read by
//! `CAST(… AS CHAR)`, and features of only one of them are avoided. Migrations are the exception, since DDL differs.

use std::future::Future;
use std::time::Duration;

use thiserror::Error;
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use crate::db::{self, ConnectionGuard};

pub mod import_export;
pub mod migrate;
pub mod mysql_account;
pub mod mysql_status;
pub mod page_cursor;
pub mod posts;
pub mod probe;
pub mod schema;
pub mod sessions;
pub mod users;

/// Why a statement failed.
#[derive(Debug, Error)]
pub enum Error {
    /// The database is unavailable or too busy; a retry may work.
    #[error("failed to {operation}: the database is not available: {}", db::loggable(reason))]
    Unavailable {
        /// The operation that failed.
        operation: &'static str,
        /// The cause.
        ///
        /// Not a `source`: a chain of errors would be printed whole, values of the statement included.
        reason: sqlx::Error,
    },
    /// A text doesn't fit its column.
    ///
    /// It is too long, or has characters that the column can't hold.
    ///
    /// Possible only on the original's tables; migrated ones are as wide as the forms allow.
    #[error("failed to {operation}: it doesn't fit the database's column {field}")]
    DoesNotFit {
        /// The operation that failed.
        operation: &'static str,
        /// The text's field.
        field: &'static str,
        /// Whether it is too long; otherwise it has unsupported characters.
        too_long: bool,
    },
    /// Another user has this name.
    #[error("failed to {operation}: the name is taken")]
    NameTaken {
        /// The operation that failed.
        operation: &'static str,
    },
    /// The statement is invalid on this database.
    #[error("failed to {operation}: {}", db::loggable(reason))]
    Query {
        /// The operation that failed.
        operation: &'static str,
        /// The cause.
        ///
        /// Not a `source`: a chain of errors would be printed whole, values of the statement included.
        reason: sqlx::Error,
    },
}

impl Error {
    pub(crate) fn new(operation: &'static str, reason: sqlx::Error) -> Self {
        if db::is_unavailable(&reason) {
            return Self::Unavailable { operation, reason };
        }
        if let Some((field, too_long)) = db::column_error(&reason) {
            return Self::DoesNotFit { operation, field, too_long };
        }
        match reason.as_database_error() {
            Some(database) if database.is_unique_violation() => Self::NameTaken { operation },
            _ => Self::Query { operation, reason },
        }
    }

    /// Whether the database refuses the login.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        matches!(self, Self::Unavailable { reason, .. } if db::is_refused(reason))
    }

    /// The cause, without the operation.
    #[must_use]
    pub fn cause(&self) -> String {
        self.reason().map_or_else(|| self.to_string(), db::loggable)
    }

    /// Whether a write failed for lack of disk space.
    #[must_use]
    pub fn is_out_of_space(&self) -> bool {
        self.reason().is_some_and(db::is_out_of_space)
    }

    /// Whether the connection was lost or could not be opened.
    #[must_use]
    pub fn is_connection_lost(&self) -> bool {
        self.reason().is_some_and(db::is_connection_lost)
    }

    /// Whether nothing listens at the database's address, or the address doesn't exist.
    #[must_use]
    pub fn is_nobody_there(&self) -> bool {
        self.reason().is_some_and(db::is_nobody_there)
    }

    fn reason(&self) -> Option<&sqlx::Error> {
        match self {
            Self::Unavailable { reason, .. } | Self::Query { reason, .. } => Some(reason),
            Self::DoesNotFit { .. } | Self::NameTaken { .. } => None,
        }
    }

    /// Whether waiting may help.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}

fn timed_out() -> sqlx::Error {
    sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, "statement timed out"))
}

/// Runs a statement on a connection outside the pool.
///
/// It has a time limit, since the server may vanish silently.
async fn with_timeout<T>(
    operation: &'static str,
    limit: Duration,
    statement: impl Future<Output = sqlx::Result<T>>,
) -> Result<T, Error> {
    let answer = timeout(limit, statement).await.unwrap_or_else(|_| Err(timed_out()));
    answer.map_err(|reason| Error::new(operation, reason))
}

/// Returns the connection to the pool, or discards it.
///
/// It is discarded if its state is unknown, or if its server accepts no writes any more.
fn release_or_discard<DB: sqlx::Database, T>(
    held: ConnectionGuard<DB>,
    outcome: Result<sqlx::Result<T>, Elapsed>,
) -> sqlx::Result<T> {
    let outcome = outcome.unwrap_or_else(|_| Err(timed_out()));
    let useless = |error: &sqlx::Error| db::is_connection_lost(error) || db::is_read_only(error);
    if !outcome.as_ref().is_err_and(useless) {
        held.release();
    }
    outcome
}

macro_rules! on_connection {
    ($acquired:expr, $connection:ident => $statement:expr) => {
        match $acquired.await {
            Ok(mut held) => {
                let outcome = {
                    let $connection = held.connection();
                    tokio::time::timeout($crate::db::STATEMENT_TIMEOUT, $statement).await
                };
                $crate::store::release_or_discard(held, outcome)
            }
            Err(error) => Err(error),
        }
    };
}

/// Runs a read, and retries once if its connection turned out to be dead.
macro_rules! query_with_retry {
    ($operation:literal, $database:expr, $connection:ident => $statement:expr) => {{
        use $crate::db::{Database, acquire, is_connection_lost, is_pool_timeout};
        use $crate::store::on_connection;
        let first = match $database {
            Database::MySql(server) => on_connection!(server.acquire(), $connection => $statement),
            Database::Sqlite(file) => on_connection!(acquire(file.pool()), $connection => $statement),
        };
        let outcome = match (first, $database) {
            (Err(error), _) if is_pool_timeout(&error) => Err(error),
            (Err(error), Database::MySql(server)) if is_connection_lost(&error) => {
                on_connection!(server.acquire_checked(), $connection => $statement)
            }
            (outcome, _) => outcome,
        };
        outcome.map_err(|source| $crate::store::Error::new($operation, source))
    }};
}

/// Runs a write once, on a connection that has just answered.
///
/// It is never retried, since the first attempt may have arrived.
macro_rules! execute_once {
    ($operation:literal, $database:expr, $connection:ident => $statement:expr) => {{
        use $crate::db::{Database, acquire};
        use $crate::store::on_connection;
        let outcome = match $database {
            Database::MySql(server) => {
                on_connection!(server.acquire_checked(), $connection => $statement)
                    .map(|done| done.rows_affected())
            }
            Database::Sqlite(file) => on_connection!(acquire(file.pool()), $connection => $statement)
                .map(|done| done.rows_affected()),
        };
        $database.writes().observe(&outcome);
        outcome.map_err(|source| $crate::store::Error::new($operation, source))
    }};
}

pub(crate) use execute_once;
pub(crate) use on_connection;
pub(crate) use query_with_retry;
