//! Sessions that were ended before their expiry.
//!
//! Schemas before version 4 have no tables for them; there a session ends with its cookie, its age or its password.

use sqlx::{query, query_as, query_scalar};

use super::schema::is_table_missing;
use super::users::{Credentials, User};
use super::{Error, execute_once, query_with_retry, users};
use crate::db::Database;

/// The user of a session.
#[derive(Clone, Debug)]
pub struct SessionUser {
    /// The user and the password's hash.
    pub credentials: Credentials,
    /// How often the user has logged out everywhere.
    pub number: i64,
    /// Whether this session was ended.
    pub is_ended: bool,
}

type Row = (i64, String, String, i64, Option<i64>);

/// Finds the user with this id, if it still exists, and the session's state.
pub async fn find_user(database: &Database, id: i64, session: i64) -> Result<Option<SessionUser>, Error> {
    const SQL: &str = "SELECT u.id, u.username, u.password, COALESCE(n.number, 0), e.session FROM user u \
         LEFT JOIN session_number n ON n.user_id = u.id LEFT JOIN ended_session e ON e.session = ? WHERE u.id = ?";
    let row: Result<Option<Row>, Error> = query_with_retry!("find the session's user", database, connection =>
        query_as(SQL).bind(session).bind(id).fetch_optional(connection));
    match row {
        Err(Error::Query { reason, .. }) if is_table_missing(&reason) => {
            let found = users::find(database, id).await?;
            Ok(found.map(|credentials| SessionUser { credentials, number: 0, is_ended: false }))
        }
        row => Ok(row?.map(|(id, name, hash, number, ended)| SessionUser {
            credentials: Credentials { user: User { id, name }, hash },
            number,
            is_ended: ended.is_some(),
        })),
    }
}

/// How often the user has logged out everywhere.
pub async fn number_of(database: &Database, user: i64) -> Result<i64, Error> {
    const SQL: &str = "SELECT number FROM session_number WHERE user_id = ?";
    let number: Result<Option<i64>, Error> = query_with_retry!("read the number of the user's sessions", database, connection =>
        query_scalar(SQL).bind(user).fetch_optional(connection));
    match number {
        Err(Error::Query { reason, .. }) if is_table_missing(&reason) => Ok(0),
        number => Ok(number?.unwrap_or(0)),
    }
}

/// Ends a session, and deletes ended ones whose cookies have expired.
pub async fn end(database: &Database, session: i64, now: i64, before: i64) -> Result<(), Error> {
    const INSERT: &str = "INSERT INTO ended_session (session, ended) VALUES (?, ?)";
    const PURGE: &str = "DELETE FROM ended_session WHERE ended < ?";
    let ended = execute_once!("end the session", database, connection =>
        query(INSERT).bind(session).bind(now).execute(connection));
    match ended {
        // Ending a session twice is harmless.
        Ok(_) | Err(Error::NameTaken { .. }) => {}
        Err(Error::Query { reason, .. }) if is_table_missing(&reason) => return Ok(()),
        Err(error) => return Err(error),
    }
    execute_once!("forget old sessions", database, connection => query(PURGE).bind(before).execute(connection))?;
    Ok(())
}

/// Ends all of a user's sessions.
///
/// False if this schema can't store that.
pub async fn end_all(database: &Database, user: i64) -> Result<bool, Error> {
    match count_up(database, user).await {
        Ok(0) => {}
        Ok(_) => return Ok(true),
        Err(Error::Query { reason, .. }) if is_table_missing(&reason) => return Ok(false),
        Err(error) => return Err(error),
    }
    const INSERT: &str = "INSERT INTO session_number (user_id, number) VALUES (?, 1)";
    let inserted = execute_once!("end the user's sessions", database, connection =>
        query(INSERT).bind(user).execute(connection));
    match inserted {
        // Another request was faster.
        Err(Error::NameTaken { .. }) => count_up(database, user).await.map(|_| true),
        inserted => inserted.map(|_| true),
    }
}

async fn count_up(database: &Database, user: i64) -> Result<u64, Error> {
    const SQL: &str = "UPDATE session_number SET number = number + 1 WHERE user_id = ?";
    execute_once!("end the user's sessions", database, connection => query(SQL).bind(user).execute(connection))
}
