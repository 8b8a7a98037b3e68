//! Reads a database's schema version, and whether this program can serve it.

use std::ops::RangeInclusive;

use sqlx::{query_as, query_scalar};

use super::{Error, query_with_retry};
use crate::db::{Database, mysql_number};

/// Schema versions that this program's statements support.
///
/// Version 1, the original's tables, has narrower columns. The server refuses what doesn't fit, and the form shows why.
pub const SUPPORTED_SCHEMA: RangeInclusive<u32> = 1..=4;

pub(super) const CURRENT_VERSION: &str =
    "SELECT version, compatible_from FROM blog_schema ORDER BY version DESC LIMIT 1";

const NO_SUCH_TABLE: u16 = 1146;
const NO_SUCH_COLUMN: u16 = 1054;
/// Error of an account without permissions on the database.
///
/// It has permissions on the original's tables only.
const TABLE_DENIED: u16 = 1142;

/// Schema version that a database records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schema {
    /// The version; 0 without tables.
    pub version: u32,
    /// The oldest version whose programs can still serve this schema.
    ///
    /// During a rollout, and after a rollback, old replicas work on a newer schema.
    pub compatible_from: u32,
}

impl Schema {
    pub(super) fn recorded((version, compatible_from): (i64, i64)) -> Self {
        let known = |number| u32::try_from(number).unwrap_or(u32::MAX);
        Self { version: known(version), compatible_from: known(compatible_from) }
    }

    /// A version that isn't recorded: only the same version is known to support it.
    #[must_use]
    pub fn unrecorded(version: u32) -> Self {
        Self { version, compatible_from: version }
    }

    /// Whether it is newer than this program.
    #[must_use]
    pub fn is_ahead(self) -> bool {
        self.version > *SUPPORTED_SCHEMA.end()
    }

    /// Whether this program can serve it.
    #[must_use]
    pub fn is_supported(self) -> bool {
        if self.is_ahead() {
            return self.compatible_from <= *SUPPORTED_SCHEMA.end();
        }
        SUPPORTED_SCHEMA.contains(&self.version)
    }

    /// The message for a schema that this program can't serve.
    #[must_use]
    pub fn refusal(self) -> String {
        let (first, last) = (SUPPORTED_SCHEMA.start(), SUPPORTED_SCHEMA.end());
        let remedy = if self.is_ahead() {
            "run the newer blog-app that this database was migrated by"
        } else {
            "run `blog-app migrate` with the same database settings"
        };
        format!(
            "the database's schema is version {}, this blog-app supports {first} to {last}: {remedy}",
            self.version
        )
    }
}

/// Result of inspecting a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// The current schema.
    pub schema: Schema,
    /// Why this program can't serve it, with the remedy.
    pub problem: Option<String>,
    /// Whether `blog-app migrate` can migrate it to this program's version.
    pub is_migratable: bool,
}

impl Inspection {
    fn of(schema: Schema) -> Self {
        let problem = (!schema.is_supported()).then(|| schema.refusal());
        Self { schema, problem, is_migratable: schema.is_supported() || !schema.is_ahead() }
    }

    /// Result for tables that aren't those of their version.
    fn broken(schema: Schema, problem: String) -> Self {
        Self { schema, problem: Some(problem), is_migratable: false }
    }
}

/// Tables that the blog needs.
enum Tables {
    Present,
    Missing(&'static str),
    Foreign,
}

/// Inspects the schema.
///
/// The version is the one that the last migration recorded. Without any migration it is 1 if the original's tables exist,
/// else 0.
pub async fn inspect(database: &Database) -> Result<Inspection, Error> {
    let recorded: Result<Option<(i64, i64)>, Error> = query_with_retry!("read the schema version", database, connection =>
        query_as(CURRENT_VERSION).fetch_optional(connection));
    let recorded = match recorded {
        Err(Error::Query { reason, .. }) if is_table_missing(&reason) => return unrecorded(database).await,
        Err(Error::Query { reason, .. }) if is_column_missing(&reason) => {
            let problem = "the database's table blog_schema is not this blog's: it lacks the columns version and \
                           compatible_from";
            return Ok(Inspection::broken(Schema::unrecorded(0), foreign(problem, 0)));
        }
        other => other?,
    };
    let Some(schema) = recorded.map(Schema::recorded) else {
        // A first migration that was killed leaves this state too.
        return Ok(Inspection { problem: Some(rowless()), ..Inspection::of(Schema::unrecorded(0)) });
    };
    if !schema.is_supported() {
        return Ok(Inspection::of(schema));
    }
    Ok(match tables(database).await? {
        Tables::Present => Inspection::of(schema),
        Tables::Missing(table) => Inspection::broken(schema, lost(table, schema.version)),
        Tables::Foreign => Inspection::broken(schema, foreign(FOREIGN_TABLES, schema.version)),
    })
}

/// The current schema, whether or not this program can serve it.
pub async fn current(database: &Database) -> Result<Schema, Error> {
    inspect(database).await.map(|found| found.schema)
}

async fn unrecorded(database: &Database) -> Result<Inspection, Error> {
    Ok(match tables(database).await? {
        Tables::Present => Inspection::of(Schema::unrecorded(1)),
        Tables::Missing(_) => Inspection::of(Schema::unrecorded(0)),
        Tables::Foreign => Inspection::broken(Schema::unrecorded(0), foreign(FOREIGN_TABLES, 0)),
    })
}

const FOREIGN_TABLES: &str =
    "the database's tables user and post are not this blog's: they lack columns that it needs";

fn range() -> String {
    format!("this blog-app supports {} to {}", SUPPORTED_SCHEMA.start(), SUPPORTED_SCHEMA.end())
}

fn foreign(what: &str, version: u32) -> String {
    format!("{what} (found version {version}, {}): use another database, or restore a backup", range())
}

fn rowless() -> String {
    format!(
        "the database's table blog_schema has no row (found version 0, {}): run `blog-app migrate` with the same \
         database settings, or restore a backup",
        range()
    )
}

fn lost(table: &str, version: u32) -> String {
    format!(
        "the database has lost its table {table}, though its schema is recorded (found version {version}, {}): \
         restore a backup, or for an empty blog drop the table blog_schema and run `blog-app migrate`",
        range()
    )
}

async fn tables(database: &Database) -> Result<Tables, Error> {
    const ORIGINAL: &str = "SELECT COUNT(*) FROM (SELECT u.id, u.username, u.password, p.id AS post, p.author_id, \
        p.created, p.title, p.body FROM user u JOIN post p ON p.author_id = u.id WHERE 1 = 0) original";
    let looked: Result<i64, Error> = query_with_retry!("find the blog's tables", database, connection =>
        query_scalar(ORIGINAL).fetch_one(connection));
    match looked {
        Err(Error::Query { reason, .. }) if is_table_missing(&reason) => Ok(Tables::Missing(named(&reason))),
        Err(Error::Query { reason, .. }) if is_column_missing(&reason) => Ok(Tables::Foreign),
        found => found.map(|_| Tables::Present),
    }
}

/// The table that an error is about.
///
/// MySQL quotes its name with the database's, SQLite ends with it.
fn named(error: &sqlx::Error) -> &'static str {
    let text = error.as_database_error().map_or("", |reason| reason.message());
    let is_post = text.contains("post'") || text.ends_with("post");
    if is_post { "post" } else { "user" }
}

/// Whether a table doesn't exist, as opposed to being unreadable.
pub(super) fn is_table_missing(error: &sqlx::Error) -> bool {
    is_missing(error, &[NO_SUCH_TABLE, TABLE_DENIED], "no such table")
}

fn is_column_missing(error: &sqlx::Error) -> bool {
    is_missing(error, &[NO_SUCH_COLUMN], "no such column")
}

fn is_missing(error: &sqlx::Error, mysql: &[u16], sqlite: &str) -> bool {
    match mysql_number(error) {
        Some(number) => mysql.contains(&number),
        None => error.as_database_error().is_some_and(|reason| reason.message().contains(sqlite)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_schema_is_served_if_it_says_that_it_can_be() {
        let newer = |compatible_from| Schema { version: 9, compatible_from };
        assert!(newer(1).is_supported() && newer(4).is_supported() && !newer(5).is_supported());
        assert!(Schema::unrecorded(1).is_supported() && Schema::unrecorded(2).is_supported());
        assert!(!Schema::unrecorded(0).is_supported());
    }

    #[test]
    fn the_refusal_names_both_versions_and_the_command() {
        assert_eq!(
            Schema::unrecorded(0).refusal(),
            "the database's schema is version 0, this blog-app supports 1 to 4: \
             run `blog-app migrate` with the same database settings"
        );
        assert!(Schema::unrecorded(9).refusal().contains("newer blog-app"));
    }
}
