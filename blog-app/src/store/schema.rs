//! Which schema a database has, and whether this program can serve it.

use std::ops::RangeInclusive;

use sqlx::{query_as, query_scalar};

use super::{Error, read};
use crate::db::Database;

/// The schema versions that this program's statements are written for. Version 1, the original's tables, is narrower:
/// what doesn't fit into its columns is refused by the server and told in the form.
pub const SUPPORTED_SCHEMA: RangeInclusive<u32> = 1..=3;

pub(super) const CURRENT_VERSION: &str =
    "SELECT version, compatible_from FROM blog_schema ORDER BY version DESC LIMIT 1";

const NO_SUCH_TABLE: u16 = 1146;
const NO_SUCH_COLUMN: u16 = 1054;
/// What an account hears that has rights on the original's tables only and not on the database.
const TABLE_DENIED: u16 = 1142;

/// What a database says of its schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schema {
    /// Its version; 0 if there are no tables.
    pub version: u32,
    /// The oldest version whose programs can still serve it. A schema that is ahead of a program isn't out of its reach:
    /// during a roll-out, and after a roll-back, old replicas work on the new schema.
    pub compatible_from: u32,
}

impl Schema {
    pub(super) fn recorded((version, compatible_from): (i64, i64)) -> Self {
        let known = |number| u32::try_from(number).unwrap_or(u32::MAX);
        Self { version: known(version), compatible_from: known(compatible_from) }
    }

    /// A version that nobody has recorded: nothing but itself is known to understand it.
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

    /// The sentence for one that this program can't serve.
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

/// The schema that is in place: what the last migration recorded; where none ever ran, version 1 if the original's tables
/// are there, and 0 if not.
pub async fn current(database: &Database) -> Result<Schema, Error> {
    let recorded: Result<Option<(i64, i64)>, Error> = read!("read the schema version", database, connection =>
        query_as(CURRENT_VERSION).fetch_optional(connection));
    match recorded {
        Err(Error::Query { reason, .. }) if is_missing(&reason) => originals(database).await,
        found => Ok(found?.map_or(Schema::unrecorded(0), Schema::recorded)),
    }
}

async fn originals(database: &Database) -> Result<Schema, Error> {
    const ORIGINAL: &str = "SELECT COUNT(*) FROM (SELECT u.id, u.username, u.password, p.id AS post, p.author_id, \
        p.created, p.title, p.body FROM user u JOIN post p ON p.author_id = u.id WHERE 1 = 0) original";
    let looked: Result<i64, Error> = read!("look for the original's tables", database, connection =>
        query_scalar(ORIGINAL).fetch_one(connection));
    match looked {
        Err(Error::Query { reason, .. }) if is_missing(&reason) => Ok(Schema::unrecorded(0)),
        found => found.map(|_| Schema::unrecorded(1)),
    }
}

/// Whether a table or a column isn't there, as opposed to can't be read.
fn is_missing(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|reason| {
        match reason.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>() {
            Some(mysql) => [NO_SUCH_TABLE, NO_SUCH_COLUMN, TABLE_DENIED].contains(&mysql.number()),
            None => reason.message().contains("no such table") || reason.message().contains("no such column"),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_schema_is_served_if_it_says_that_it_can_be() {
        let newer = |compatible_from| Schema { version: 9, compatible_from };
        assert!(newer(1).is_supported() && newer(3).is_supported() && !newer(4).is_supported());
        assert!(Schema::unrecorded(1).is_supported() && Schema::unrecorded(2).is_supported());
        assert!(!Schema::unrecorded(0).is_supported());
    }

    #[test]
    fn the_refusal_names_both_versions_and_the_command() {
        assert_eq!(
            Schema::unrecorded(0).refusal(),
            "the database's schema is version 0, this blog-app supports 1 to 3: \
             run `blog-app migrate` with the same database settings"
        );
        assert!(Schema::unrecorded(9).refusal().contains("newer blog-app"));
    }
}
