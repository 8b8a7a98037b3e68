//! The schema, version by version. `migrations/README.md` says what a migration may do.

use std::ops::{ControlFlow, RangeInclusive};
use std::time::Duration;

use sqlx::mysql::{MySqlConnection, MySqlPool};
use sqlx::sqlite::{SqliteConnection, SqlitePool};
use sqlx::{Acquire, AssertSqlSafe, Connection, Executor, query, query_scalar};
use thiserror::Error;

use super::read;
use crate::db::{self, Database};

/// The schema versions that this program's statements work on.
pub const SUPPORTED_SCHEMA: RangeInclusive<u32> = 2..=2;

/// How long to wait for another migrator to finish.
const LOCK_WAIT: Duration = Duration::from_secs(60);

/// MySQL's "duplicate key name": the index is there already, since an earlier run was killed right after making it.
const DUPLICATE_KEY_NAME: u16 = 1061;
const NO_SUCH_TABLE: u16 = 1146;

struct Migration {
    version: u32,
    name: &'static str,
    mysql: &'static str,
    sqlite: &'static str,
}

macro_rules! migration {
    ($version:literal, $name:literal) => {
        Migration {
            version: $version,
            name: $name,
            mysql: include_str!(concat!("../../migrations/mysql/", $name, ".sql")),
            sqlite: include_str!(concat!("../../migrations/sqlite/", $name, ".sql")),
        }
    };
}

const MIGRATIONS: &[Migration] = &[migration!(1, "0001_original_tables"), migration!(2, "0002_wide_texts")];

const CREATE_VERSIONS: &str = "CREATE TABLE IF NOT EXISTS blog_schema (\
     version INT NOT NULL PRIMARY KEY, applied TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP)";
const CURRENT_VERSION: &str = "SELECT MAX(version) FROM blog_schema";
const RECORD_VERSION: &str = "INSERT INTO blog_schema (version) VALUES (?)";

/// What can go wrong with the schema.
#[derive(Debug, Error)]
pub enum Error {
    /// A statement outside of the migrations failed.
    #[error(transparent)]
    Store(super::Error),
    /// A migration's statement failed.
    #[error("failed to apply migration {name}, statement {statement}")]
    Apply {
        /// The migration.
        name: &'static str,
        /// Which of its statements, counted from 1.
        statement: usize,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// Another migrator is at work, or hangs.
    #[error("failed to get the migration lock within {} s: another migration is running on this database", LOCK_WAIT.as_secs())]
    Locked,
    /// The database is ahead of this program.
    #[error("failed to migrate: {}", unsupported(*found))]
    Newer {
        /// Its version.
        found: u32,
    },
    /// The observer of the steps said stop.
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
            Self::Locked | Self::Newer { .. } | Self::Stopped => false,
        }
    }
}

/// What a run did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The version before.
    pub from: u32,
    /// The version after.
    pub to: u32,
}

/// A statement that has just been run.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// The migration's name.
    pub migration: &'static str,
    /// Which of its statements, counted from 1.
    pub statement: usize,
}

/// Told of each step; may end the run there, as a kill would.
pub type Observer<'a> = &'a mut (dyn FnMut(Step) -> ControlFlow<()> + Send);

/// The sentence for a schema that this program can't serve.
#[must_use]
pub fn unsupported(found: u32) -> String {
    let (first, last) = (SUPPORTED_SCHEMA.start(), SUPPORTED_SCHEMA.end());
    let remedy = if found < *first {
        "run `blog-app migrate` with the same database settings"
    } else {
        "run the newer blog-app that this database was migrated by"
    };
    format!("the database's schema is version {found}, this blog-app supports {first} to {last}: {remedy}")
}

/// The version that is in place; 0 where no migration ever ran.
pub async fn current(database: &Database) -> Result<u32, super::Error> {
    let version: Result<Option<i64>, super::Error> = read!("read the schema version", database, connection =>
        query_scalar(CURRENT_VERSION).fetch_one(connection));
    match version {
        Err(super::Error::Query { reason, .. }) if is_missing_table(&reason) => Ok(0),
        found => found.map(known_version),
    }
}

/// Brings the schema to the newest version. Safe to run at any time, any number of times, by several at once.
pub async fn migrate(database: &Database, observer: Observer<'_>) -> Result<Outcome, Error> {
    match database {
        Database::MySql(pool) => migrate_mysql(pool, observer).await,
        Database::Sqlite(pool) => migrate_sqlite(pool, observer).await,
    }
}

fn known_version(version: Option<i64>) -> u32 {
    version.and_then(|version| u32::try_from(version).ok()).unwrap_or(0)
}

fn is_missing_table(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|reason| {
        match reason.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>() {
            Some(mysql) => mysql.number() == NO_SUCH_TABLE,
            None => reason.message().contains("no such table"),
        }
    })
}

fn pending(from: u32) -> Result<impl Iterator<Item = &'static Migration>, Error> {
    if from > *SUPPORTED_SCHEMA.end() {
        return Err(Error::Newer { found: from });
    }
    Ok(MIGRATIONS.iter().filter(move |migration| migration.version > from))
}

fn failed(operation: &'static str) -> impl Fn(sqlx::Error) -> Error {
    move |source| Error::Store(super::Error::new(operation, source))
}

/// The connection is thrown away at the end, whatever happened: with it goes the lock.
async fn migrate_mysql(pool: &MySqlPool, observer: Observer<'_>) -> Result<Outcome, Error> {
    let held = db::acquire_checked(pool).await.map_err(failed("connect to the database"))?;
    let mut connection = held.detach();
    let outcome = migrate_mysql_on(&mut connection, observer).await;
    // A failed goodbye changes nothing: the server ends the session when the socket closes.
    let _ = connection.close().await;
    outcome
}

async fn migrate_mysql_on(
    connection: &mut MySqlConnection,
    observer: Observer<'_>,
) -> Result<Outcome, Error> {
    // One lock a database, not one a server; a lock's name has at most 64 characters.
    const LOCK: &str = "SELECT GET_LOCK(CONCAT('blog-migrate-', LEFT(SHA2(DATABASE(), 256), 40)), ?)";
    let wait = i64::try_from(LOCK_WAIT.as_secs()).unwrap_or(i64::MAX);
    let got: Option<i64> = query_scalar(LOCK)
        .bind(wait)
        .fetch_one(&mut *connection)
        .await
        .map_err(failed("get the migration lock"))?;
    if got != Some(1) {
        return Err(Error::Locked);
    }
    // A forgotten transaction on a table must not hold the migration up for MySQL's default of a year.
    connection
        .execute("SET SESSION lock_wait_timeout = 60")
        .await
        .map_err(failed("bound the wait for table locks"))?;
    connection.execute(CREATE_VERSIONS).await.map_err(failed("create the table of versions"))?;
    let found: Option<i64> = query_scalar(CURRENT_VERSION)
        .fetch_one(&mut *connection)
        .await
        .map_err(failed("read the schema version"))?;
    let from = known_version(found);
    let mut to = from;
    for migration in pending(from)? {
        apply_mysql(connection, migration, observer).await?;
        to = migration.version;
    }
    Ok(Outcome { from, to })
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

/// SQLite's DDL is transactional: the run happens as a whole or not at all, and the write lock keeps others out.
async fn migrate_sqlite(pool: &SqlitePool, observer: Observer<'_>) -> Result<Outcome, Error> {
    let mut held = db::acquire(pool).await.map_err(failed("open the database"))?;
    let connection = held.acquire().await.map_err(failed("open the database"))?;
    let mut transaction =
        connection.begin_with("BEGIN IMMEDIATE").await.map_err(failed("lock the database"))?;
    transaction.execute(CREATE_VERSIONS).await.map_err(failed("create the table of versions"))?;
    let found: Option<i64> = query_scalar(CURRENT_VERSION)
        .fetch_one(&mut *transaction)
        .await
        .map_err(failed("read the schema version"))?;
    let from = known_version(found);
    let mut to = from;
    for migration in pending(from)? {
        apply_sqlite(&mut transaction, migration, observer).await?;
        to = migration.version;
    }
    transaction.commit().await.map_err(failed("commit the migrations"))?;
    Ok(Outcome { from, to })
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

/// The statements of a file: each ends with `;` at the end of a line; lines of comment are dropped.
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

    #[test]
    fn the_refusal_names_both_versions_and_the_command() {
        assert_eq!(
            unsupported(1),
            "the database's schema is version 1, this blog-app supports 2 to 2: \
             run `blog-app migrate` with the same database settings"
        );
        assert!(unsupported(9).contains("newer blog-app"));
    }
}
