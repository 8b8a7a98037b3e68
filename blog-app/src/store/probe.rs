//! Checks whether the database accepts a write now, without changing anything.

use sqlx::{Connection, query};

use super::{Error, on_connection};
use crate::db::{Database, acquire};

/// Longer than any text that the original's column holds, in bytes.
const WIDE_BODY: usize = 32 * 1024;
const NARROW_BODY: usize = 200;
/// Schema version from which the column of texts is wide.
const WIDE_SINCE: u32 = 2;

/// Runs a write that matches no row.
///
/// A read-only server refuses it all the same.
pub async fn try_write(database: &Database) -> Result<(), Error> {
    const SQL: &str = "DELETE FROM post WHERE id = 0";
    let outcome = match database {
        Database::MySql(server) => {
            on_connection!(server.acquire_checked(), connection => query(SQL).execute(connection)).map(drop)
        }
        Database::Sqlite(file) => {
            on_connection!(acquire(file.pool()), connection => query(SQL).execute(connection)).map(drop)
        }
    };
    outcome.map_err(|reason| Error::new("try a write", reason))
}

/// Writes a row and removes it again, to check for disk space.
pub async fn try_space(database: &Database, version: u32) -> Result<(), Error> {
    let body = "x".repeat(if version >= WIDE_SINCE { WIDE_BODY } else { NARROW_BODY });
    let outcome = match database {
        Database::MySql(server) => {
            on_connection!(server.acquire_checked(), connection => fill_mysql(connection, &body))
        }
        Database::Sqlite(file) => {
            on_connection!(acquire(file.pool()), connection => fill_sqlite(connection, &body))
        }
    };
    outcome.map_err(|reason| Error::new("try a write", reason))
}

/// Inserts and rolls back: InnoDB needs the space before the commit already.
async fn fill_mysql(connection: &mut sqlx::MySqlConnection, body: &str) -> sqlx::Result<()> {
    const SQL: &str = "INSERT INTO post (title, body, author_id) SELECT 'x', ?, id FROM user LIMIT 1";
    let mut transaction = connection.begin().await?;
    query(SQL).bind(body).execute(&mut *transaction).await?;
    transaction.rollback().await
}

/// Inserts, deletes and commits: SQLite writes nothing to the disk before the commit.
///
/// An id below all others leaves the next id unchanged.
async fn fill_sqlite(connection: &mut sqlx::SqliteConnection, body: &str) -> sqlx::Result<()> {
    const INSERT: &str =
        "INSERT INTO post (id, title, body, author_id) SELECT 0, 'x', ?, id FROM user LIMIT 1";
    const DELETE: &str = "DELETE FROM post WHERE id = 0";
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    query(INSERT).bind(body).execute(&mut *transaction).await?;
    query(DELETE).execute(&mut *transaction).await?;
    transaction.commit().await
}
