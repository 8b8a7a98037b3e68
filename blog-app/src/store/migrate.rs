//! Migrates the schema, version by version.
//!
//! `migrations/README.md` defines what a migration may do.

use std::ops::ControlFlow;
use std::time::Duration;

use sqlx::mysql::MySqlConnection;
use sqlx::sqlite::{SqliteConnection, SqlitePool};
use sqlx::{AssertSqlSafe, Connection, Executor, query, query_as, query_scalar};
use thiserror::Error;

use super::schema::{self, CURRENT_VERSION, Schema};
use super::with_timeout;
use crate::db::{self, Database, MySql, STATEMENT_TIMEOUT};

/// How long to wait for another migration to finish.
const LOCK_WAIT: Duration = Duration::from_secs(60);

/// Interval of checks whether the server still answers during a migration.
const WATCH_INTERVAL: Duration = Duration::from_secs(30);
/// Failed checks in a row after which the server counts as lost.
const WATCH_TRIES: u32 = 10;

/// MySQL's "duplicate key name": an earlier run was killed right after creating the index.
const DUPLICATE_KEY_NAME: u16 = 1061;

struct Migration {
    version: u32,
    /// The oldest version whose programs still work on this one; see `migrations/README.md`.
    compatible_from: u32,
    name: &'static str,
    mysql: &'static str,
    sqlite: &'static str,
}

macro_rules! migration {
    ($version:literal, from $compatible_from:literal, $name:literal) => {
        Migration {
            version: $version,
            compatible_from: $compatible_from,
            name: $name,
            mysql: include_str!(concat!("../../migrations/mysql/", $name, ".sql")),
            sqlite: include_str!(concat!("../../migrations/sqlite/", $name, ".sql")),
        }
    };
}

const MIGRATIONS: &[Migration] = &[
    migration!(1, from 1, "0001_original_tables"),
    migration!(2, from 1, "0002_wide_texts"),
    migration!(3, from 1, "0003_author_pages"),
    migration!(4, from 1, "0004_sessions"),
];

const CREATE_VERSIONS: &str = "CREATE TABLE IF NOT EXISTS blog_schema (\
     version INT NOT NULL PRIMARY KEY, compatible_from INT NOT NULL, \
     applied TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP)";
const RECORD_VERSION: &str = "INSERT INTO blog_schema (version, compatible_from) VALUES (?, ?)";

/// Why a migration failed.
#[derive(Debug, Error)]
pub enum Error {
    /// A statement outside the migrations failed.
    #[error(transparent)]
    Store(#[from] super::Error),
    /// A migration's statement failed.
    #[error("failed to apply migration {name}, statement {statement}")]
    Apply {
        /// The migration.
        name: &'static str,
        /// Number of the statement, counted from 1.
        statement: usize,
        /// The cause.
        #[source]
        source: sqlx::Error,
    },
    /// Another migration is running or hangs.
    #[error("failed to get the migration lock within {} s: another migration is running on this database", LOCK_WAIT.as_secs())]
    Locked,
    /// The database is newer than this program.
    #[error("failed to migrate: {}", found.refusal())]
    Newer {
        /// Its schema.
        found: Schema,
    },
    /// The migrations don't support the server's kind or version.
    #[error("failed to migrate: {0}")]
    WrongServer(String),
    /// The tables aren't those of the recorded version.
    #[error("failed to migrate: {0}")]
    Damaged(String),
    /// The observer stopped the run.
    #[error("failed to finish: stopped after a step")]
    Stopped,
}

impl Error {
    /// Whether waiting may help.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::Store(error) => error.is_unavailable(),
            Self::Apply { source, .. } => db::is_unavailable(source),
            Self::Locked | Self::Newer { .. } | Self::WrongServer(_) | Self::Damaged(_) | Self::Stopped => {
                false
            }
        }
    }
}

/// Result of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Version before the run.
    pub from: u32,
    /// Version after the run.
    pub to: u32,
}

/// A statement that has just run.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Name of the migration.
    pub migration: &'static str,
    /// Number of the statement, counted from 1.
    pub statement: usize,
}

/// Called after each step.
///
/// May end the run there, as a kill would.
pub type Observer<'a> = &'a mut (dyn FnMut(Step) -> ControlFlow<()> + Send);

/// Migrates the schema to the newest version.
///
/// It is safe to run at any time, any number of times, and in parallel.
pub async fn migrate(database: &Database, observer: Observer<'_>) -> Result<Outcome, Error> {
    let found = schema::inspect(database).await?;
    match found.problem {
        Some(_) if found.schema.is_ahead() => return Err(Error::Newer { found: found.schema }),
        Some(problem) if !found.is_migratable => return Err(Error::Damaged(problem)),
        _ => {}
    }
    match database {
        Database::MySql(server) => migrate_mysql(server, observer).await,
        Database::Sqlite(file) => migrate_sqlite(file.pool(), observer).await,
    }
}

/// Returns the remaining migrations.
///
/// Empty for a newer schema that this program can serve, which is how a release is rolled back.
fn pending(found: Schema) -> Result<impl Iterator<Item = &'static Migration>, Error> {
    if found.is_ahead() && !found.is_supported() {
        return Err(Error::Newer { found });
    }
    Ok(MIGRATIONS.iter().filter(move |migration| migration.version > found.version))
}

fn failed(operation: &'static str) -> impl Fn(sqlx::Error) -> Error {
    move |source| Error::Store(super::Error::new(operation, source))
}

/// The connection is closed in any case, which releases the lock.
async fn migrate_mysql(server: &MySql, observer: Observer<'_>) -> Result<Outcome, Error> {
    let held = server.acquire_checked().await.map_err(failed("connect to the database"))?;
    let mut connection = held.detach();
    let outcome = tokio::select! {
        outcome = migrate_mysql_on(&mut connection, observer) => outcome,
        lost = server_lost(server) => Err(lost),
    };
    if outcome.as_ref().is_err_and(Error::is_unavailable) {
        return outcome; // The server is gone, so the connection can't be closed.
    }
    // A failure is harmless: the server ends the session when the socket closes.
    let _ = connection.close().await;
    outcome
}

/// Returns once the server has stopped answering.
///
/// A statement that rebuilds a large table may take hours, so it has no time limit. Without this check, the loss of the
/// server would go unnoticed and the statement would wait without end.
async fn server_lost(server: &MySql) -> Error {
    loop {
        tokio::time::sleep(WATCH_INTERVAL).await;
        let mut tries = 0;
        while let Err(error) = server.acquire_checked().await.map(db::ConnectionGuard::release) {
            tries += 1;
            if tries == WATCH_TRIES {
                return failed("reach the server during the migration")(error);
            }
            tokio::time::sleep(WATCH_INTERVAL / 10).await;
        }
    }
}

async fn migrate_mysql_on(
    connection: &mut MySqlConnection,
    observer: Observer<'_>,
) -> Result<Outcome, Error> {
    let version = query_scalar("SELECT VERSION()").fetch_one(&mut *connection);
    let version: String = with_timeout("read the server's version", STATEMENT_TIMEOUT, version).await?;
    if let Some(problem) = db::server_problem(&version) {
        return Err(Error::WrongServer(problem));
    }
    // One lock per database and not per server. A lock's name has at most 64 characters.
    const LOCK: &str = "SELECT GET_LOCK(CONCAT('blog-migrate-', LEFT(SHA2(DATABASE(), 256), 40)), ?)";
    let wait = i64::try_from(LOCK_WAIT.as_secs()).unwrap_or(i64::MAX);
    let lock = query_scalar(LOCK).bind(wait).fetch_one(&mut *connection);
    let got: Option<i64> =
        with_timeout("get the migration lock", LOCK_WAIT + STATEMENT_TIMEOUT, lock).await?;
    if got != Some(1) {
        return Err(Error::Locked);
    }
    // A forgotten transaction on a table must not block the migration for MySQL's default of a year.
    let bound = connection.execute("SET SESSION lock_wait_timeout = 60");
    with_timeout("bound the wait for table locks", STATEMENT_TIMEOUT, bound).await?;
    let create = connection.execute(CREATE_VERSIONS);
    with_timeout("create the table of versions", LOCK_WAIT + STATEMENT_TIMEOUT, create).await?;
    let look = query_as(CURRENT_VERSION).fetch_optional(&mut *connection);
    let found = schema_of(with_timeout("read the schema version", STATEMENT_TIMEOUT, look).await?);
    let mut to = found.version;
    for migration in pending(found)? {
        apply_mysql(connection, migration, observer).await?;
        to = migration.version;
    }
    Ok(Outcome { from: found.version, to })
}

fn schema_of(recorded: Option<(i64, i64)>) -> Schema {
    recorded.map_or(Schema::unrecorded(0), Schema::recorded)
}

async fn apply_mysql(
    connection: &mut MySqlConnection,
    migration: &'static Migration,
    observer: Observer<'_>,
) -> Result<(), Error> {
    for (index, statement) in statements(migration.mysql).enumerate() {
        let (name, statement_number) = (migration.name, index + 1);
        match connection.execute(AssertSqlSafe(statement)).await {
            Err(error) if is_duplicate_key_name(&error) => {}
            Err(source) => return Err(Error::Apply { name, statement: statement_number, source }),
            Ok(_) => {}
        }
        tell(observer, migration, statement_number)?;
    }
    query(RECORD_VERSION)
        .bind(i64::from(migration.version))
        .bind(i64::from(migration.compatible_from))
        .execute(connection)
        .await
        .map_err(failed("record the schema version"))?;
    Ok(())
}

fn is_duplicate_key_name(error: &sqlx::Error) -> bool {
    let reason = error.as_database_error();
    let mysql = reason.and_then(|it| it.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>());
    mysql.is_some_and(|mysql| mysql.number() == DUPLICATE_KEY_NAME)
}

/// SQLite's DDL is transactional.
///
/// The run happens completely or not at all, and the write lock excludes others.
async fn migrate_sqlite(pool: &SqlitePool, observer: Observer<'_>) -> Result<Outcome, Error> {
    let mut held = db::acquire(pool).await.map_err(failed("open the database"))?;
    let begun = held.connection().begin_with("BEGIN IMMEDIATE").await;
    let mut transaction = begun.map_err(failed("lock the database"))?;
    transaction.execute(CREATE_VERSIONS).await.map_err(failed("create the table of versions"))?;
    let look = query_as(CURRENT_VERSION).fetch_optional(&mut *transaction).await;
    let found = schema_of(look.map_err(failed("read the schema version"))?);
    let mut to = found.version;
    for migration in pending(found)? {
        apply_sqlite(&mut transaction, migration, observer).await?;
        to = migration.version;
    }
    transaction.commit().await.map_err(failed("commit the migrations"))?;
    held.release();
    Ok(Outcome { from: found.version, to })
}

async fn apply_sqlite(
    connection: &mut SqliteConnection,
    migration: &'static Migration,
    observer: Observer<'_>,
) -> Result<(), Error> {
    for (index, statement) in statements(migration.sqlite).enumerate() {
        let number = index + 1;
        let name = migration.name;
        connection.execute(AssertSqlSafe(statement)).await.map_err(|source| Error::Apply {
            name,
            statement: number,
            source,
        })?;
        tell(observer, migration, number)?;
    }
    query(RECORD_VERSION)
        .bind(i64::from(migration.version))
        .bind(i64::from(migration.compatible_from))
        .execute(connection)
        .await
        .map_err(failed("record the schema version"))?;
    Ok(())
}

fn tell(observer: Observer<'_>, migration: &'static Migration, statement: usize) -> Result<(), Error> {
    match observer(Step { migration: migration.name, statement }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Error::Stopped),
    }
}

/// Splits a file into statements, each ending with `;` at the end of a line.
///
/// Drops comment lines.
fn statements(file: &'static str) -> impl Iterator<Item = String> {
    let lines = file.lines().filter(|line| !line.trim_start().starts_with("--"));
    let code = lines.collect::<Vec<_>>().join("\n");
    code.split(";\n")
        .map(|statement| statement.trim().trim_end_matches(';').to_owned())
        .filter(|statement| !statement.is_empty())
        .collect::<Vec<_>>()
        .into_iter()
}

#[cfg(test)]
mod tests {
    use super::super::schema::SUPPORTED_SCHEMA;
    use super::*;

    fn files(directory: &str) -> Vec<String> {
        let path = format!("{}/migrations/{directory}", env!("CARGO_MANIFEST_DIR"));
        let entries = std::fs::read_dir(path).expect("the directory is there");
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn every_file_is_listed_and_every_version_follows_the_one_before() {
        let listed: Vec<String> = MIGRATIONS.iter().map(|it| format!("{}.sql", it.name)).collect();
        assert_eq!(files("mysql"), listed);
        assert_eq!(files("sqlite"), listed);
        for (index, migration) in MIGRATIONS.iter().enumerate() {
            assert_eq!(migration.version as usize, index + 1);
            assert!(migration.name.starts_with(&format!("{:04}_", migration.version)));
        }
        assert_eq!(MIGRATIONS.last().map(|it| it.version), Some(*SUPPORTED_SCHEMA.end()));
    }

    #[test]
    fn a_file_is_cut_into_its_statements_without_comments() {
        let file = "-- a; comment\nCREATE TABLE a (\n  b INT\n);\n\nCREATE INDEX c ON a (b);\n";
        let cut: Vec<String> = statements(file).collect();
        assert_eq!(cut, ["CREATE TABLE a (\n  b INT\n)", "CREATE INDEX c ON a (b)"]);
    }
}
