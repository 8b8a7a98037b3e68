//! Statements on users.

use sqlx::query;
use sqlx::query_as;

use super::{Error, execute_once, query_with_retry};
use crate::db::Database;

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The row's id, which the session cookie holds.
    pub id: i64,
    /// The name, byte for byte as it was registered.
    pub name: String,
}

/// A user and the hash to verify a password against.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The user.
    pub user: User,
    /// The password's hash, as a PHC string.
    pub hash: String,
}

/// Adds a user.
///
/// The unique key detects a name in use, without a query before. Of two concurrent registrations exactly one succeeds.
pub async fn insert(database: &Database, name: &str, hash: &str) -> Result<(), Error> {
    const SQL: &str = "INSERT INTO user (username, password) VALUES (?, ?)";
    execute_once!("register the user", database, connection => query(SQL).bind(name).bind(hash).execute(connection))?;
    Ok(())
}

/// Finds the user by name, compared byte for byte.
///
/// The original's column compares less strictly.
pub async fn find_by_name(database: &Database, name: &str) -> Result<Option<Credentials>, Error> {
    const SQL: &str = "SELECT id, username, password FROM user WHERE username = ?";
    let row: Option<(i64, String, String)> = query_with_retry!("find the user by name", database, connection =>
        query_as(SQL).bind(name).fetch_optional(connection))?;
    Ok(row
        .filter(|(_, stored, _)| stored == name)
        .map(|(id, name, hash)| Credentials { user: User { id, name }, hash }))
}

/// Finds the user with this id, if it still exists.
pub async fn find(database: &Database, id: i64) -> Result<Option<Credentials>, Error> {
    const SQL: &str = "SELECT id, username, password FROM user WHERE id = ?";
    let row: Option<(i64, String, String)> = query_with_retry!("find the user", database, connection =>
        query_as(SQL).bind(id).fetch_optional(connection))?;
    Ok(row.map(|(id, name, hash)| Credentials { user: User { id, name }, hash }))
}

/// Replaces this old hash.
///
/// False if the user has another one by now.
pub async fn replace_hash(database: &Database, id: i64, old: &str, new: &str) -> Result<bool, Error> {
    const SQL: &str = "UPDATE user SET password = ? WHERE id = ? AND password = ?";
    let changed = execute_once!("renew the password's hash", database, connection =>
        query(SQL).bind(new).bind(id).bind(old).execute(connection))?;
    Ok(changed > 0)
}
