//! Classifies database errors, and describes them without any value of a statement.

use std::io;

use super::ACQUIRE_TIMEOUT;
use crate::config::tls;

/// Start of the standard library's message for a host name that can't be resolved.
const LOOKUP_FAILED: &str = "failed to lookup address information";

/// Why no connection came in time, as found by a connection outside the pool.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{cause}")]
pub(super) struct NoConnection {
    pub(super) cause: String,
    /// Nothing listens at the address, or the address doesn't exist.
    pub(super) is_nobody_there: bool,
}

impl NoConnection {
    pub(super) fn because(cause: impl Into<String>) -> Self {
        Self { cause: cause.into(), is_nobody_there: false }
    }

    /// Returns the pool's timeout with its cause.
    pub(super) fn into_error(self) -> sqlx::Error {
        sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, self))
    }
}

/// The server is one that this program can't use.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct WrongServer(String);

pub(super) fn wrong_server(cause: String) -> sqlx::Error {
    sqlx::Error::Configuration(Box::new(WrongServer(cause)))
}

/// Why a server of this version can't be used.
///
/// `None` if it can.
#[must_use]
pub fn server_problem(version: &str) -> Option<String> {
    const OLDEST: u32 = 8;
    let needed = format!("this blog needs MySQL {OLDEST}.0 or newer");
    if version.contains("MariaDB") {
        return Some(format!("the database server is MariaDB (version {version}): {needed}"));
    }
    let major: u32 = version.split('.').next()?.parse().ok()?;
    (major < OLDEST).then(|| format!("the database server has version {version}: {needed}"))
}

/// Whether no connection came in time: a retry would wait as long again.
#[must_use]
pub fn is_pool_timeout(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::PoolTimedOut => true,
        sqlx::Error::Io(io) => no_connection_in(io).is_some(),
        _ => false,
    }
}

fn no_connection_in(error: &io::Error) -> Option<&NoConnection> {
    error.get_ref()?.downcast_ref()
}

/// Whether the server is read-only, for example a former primary after a failover.
///
/// A new connection may lead to the new primary; this one never will.
#[must_use]
pub fn is_read_only(error: &sqlx::Error) -> bool {
    const READ_ONLY: [u16; 3] = [1290, 1792, 1836];
    const SQLITE_READ_ONLY: i64 = 8;
    mysql_number(error).is_some_and(|number| READ_ONLY.contains(&number))
        || sqlite_code(error) == Some(SQLITE_READ_ONLY)
}

/// Whether a write failed for lack of disk space.
#[must_use]
pub fn is_out_of_space(error: &sqlx::Error) -> bool {
    const FULL: [u16; 5] = [3, 20, 1021, 1026, 1114];
    /// MySQL's "Got error 28 from storage engine".
    ///
    /// 28 is the operating system's code for a full disk.
    const ENGINE_ERROR: u16 = 1030;
    const SQLITE_FULL: i64 = 13;
    match mysql_number(error) {
        Some(ENGINE_ERROR) => {
            error.as_database_error().is_some_and(|reason| reason.message().contains("error 28"))
        }
        Some(number) => FULL.contains(&number),
        None => sqlite_code(error) == Some(SQLITE_FULL),
    }
}

/// SQLite's primary result code.
pub(super) fn sqlite_code(error: &sqlx::Error) -> Option<i64> {
    let reason = error.as_database_error()?;
    reason.try_downcast_ref::<sqlx::sqlite::SqliteError>()?;
    Some(reason.code()?.parse::<i64>().ok()? & 0xff)
}

/// Describes an error for the log.
///
/// MySQL's messages can quote values of the statement, so only the error number and its meaning are used. SQLite's
/// messages name tables and columns at most.
#[must_use]
pub fn loggable(error: &sqlx::Error) -> String {
    if let Some(number) = mysql_number(error) {
        let words = if is_out_of_space(error) { Some(FULL) } else { mysql_words(number) };
        return words
            .map_or_else(|| format!("database error {number}"), |words| format!("{words} (error {number})"));
    }
    if let Some(words) = sqlite_code(error).and_then(sqlite_words) {
        return words.to_owned();
    }
    match error {
        sqlx::Error::Database(reason) => {
            format!("database error {} ({})", reason.code().unwrap_or_default(), reason.message())
        }
        sqlx::Error::PoolTimedOut => no_connection(),
        sqlx::Error::Configuration(reason) if reason.is::<WrongServer>() => reason.to_string(),
        sqlx::Error::Io(io) => tls::refusal(error).unwrap_or_else(|| network(io)),
        other => other.to_string(),
    }
}

pub(super) fn no_connection() -> String {
    format!("no connection to the database came within {} s", ACQUIRE_TIMEOUT.as_secs())
}

const FULL: &str = "the database's disk is full: it has no room for a write";

fn mysql_words(number: u16) -> Option<&'static str> {
    Some(match number {
        1040 | 1203 | 1226 => "MySQL has no connection left for the blog",
        1044 | 1142 | 1143 => "MySQL does not grant the blog's user the permissions that it needs",
        1045 => "MySQL refuses the user name or the password of the settings",
        1049 => "MySQL has no database of the name in the settings",
        1053 | 1927 => "MySQL is shutting down",
        1129 => "MySQL blocks this host after too many failed connections: run FLUSH HOSTS there",
        1146 => "a table of the blog is missing",
        1205 | 3572 => "another transaction holds a lock for too long",
        1290 => "the database takes no writes: MySQL is read-only (read_only or super_read_only is set)",
        1792 => "the database takes no writes: the session is read-only",
        1836 => "the database takes no writes: InnoDB is read-only",
        3024 => "the database did not finish a statement in time",
        3032 => "MySQL is in offline mode (offline_mode is set)",
        _ => return None,
    })
}

fn sqlite_words(code: i64) -> Option<&'static str> {
    Some(match code {
        5 | 6 => "another program keeps the database's file locked",
        8 => "the database takes no writes: its file is read-only",
        13 => FULL,
        14 => "the database's file can't be opened",
        11 | 26 => "the database's file is damaged, or is no SQLite database",
        _ => return None,
    })
}

fn network(error: &io::Error) -> String {
    let text = error.to_string();
    match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            "the database's host refuses the connection: no server listens at its port".to_owned()
        }
        _ if text.starts_with(LOOKUP_FAILED) => "the database's host name can't be resolved".to_owned(),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            "the database's host can't be reached".to_owned()
        }
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => {
            "the connection to the database was cut".to_owned()
        }
        io::ErrorKind::UnexpectedEof => "the database closed the connection".to_owned(),
        _ => text,
    }
}

/// Whether nothing listens at the configured address, or the address doesn't exist.
#[must_use]
pub fn is_nobody_there(error: &sqlx::Error) -> bool {
    let sqlx::Error::Io(io) = error else { return false };
    if let Some(found) = no_connection_in(io) {
        return found.is_nobody_there;
    }
    io.kind() == io::ErrorKind::ConnectionRefused || io.to_string().starts_with(LOOKUP_FAILED)
}

/// Whether the connection, and not only the statement, is unusable.
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

/// MySQL's temporary errors.
///
/// They are: too many connections, account or database missing, shutdown, read-only during a failover, offline mode,
/// lock waits, deadlocks and a killed session.
const PASSING_MYSQL: &[u16] = &[
    1040, 1044, 1045, 1049, 1053, 1129, 1203, 1205, 1213, 1226, 1290, 1317, 1792, 1836, 1927, 3024, 3032,
    3169, 3572,
];
/// SQLite's temporary errors by primary code: busy, locked, I/O error, full, can't open, read-only.
const PASSING_SQLITE: &[i64] = &[5, 6, 8, 10, 13, 14];

/// Whether the database is unavailable: the same statement may work later.
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

/// Whether the server reported that the account or its database doesn't exist.
///
/// It counts as unavailable too, since the files may hold another account at the next read. But a replica that was
/// refused has no page of its own to show.
#[must_use]
pub fn is_refused(error: &sqlx::Error) -> bool {
    const REFUSED: [u16; 3] = [1044, 1045, 1049];
    mysql_number(error).is_some_and(|number| REFUSED.contains(&number))
}

/// Whether the login or the certificate is the cause.
///
/// Reading the files again may then help.
#[must_use]
pub fn is_login_outdated(error: &sqlx::Error) -> bool {
    is_password_refused(error) || tls::refusal(error).is_some()
}

/// Whether the server refused user or password; it doesn't distinguish the two.
#[must_use]
pub fn is_password_refused(error: &sqlx::Error) -> bool {
    const ACCESS_DENIED: u16 = 1045;
    mysql_number(error) == Some(ACCESS_DENIED)
}

/// Returns the column that a text didn't fit into, and whether for its length.
///
/// Only the column's name is taken from the message, since that may quote the text.
#[must_use]
pub fn column_error(error: &sqlx::Error) -> Option<(&'static str, bool)> {
    const TOO_LONG: u16 = 1406;
    const INCORRECT_STRING: u16 = 1366;
    /// The same error, about a parameter instead of a column.
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
    fn a_lost_connection_is_told_in_words_without_numbers() {
        for (kind, words) in [
            (io::ErrorKind::ConnectionRefused, "no server listens"),
            (io::ErrorKind::ConnectionReset, "was cut"),
            (io::ErrorKind::UnexpectedEof, "closed the connection"),
        ] {
            let told = loggable(&sqlx::Error::Io(kind.into()));
            assert!(told.contains(words), "{told}");
        }
        let unknown = io::Error::other(format!("{LOOKUP_FAILED}: Name or service not known"));
        assert_eq!(loggable(&sqlx::Error::Io(unknown)), "the database's host name can't be resolved");
    }

    #[test]
    fn a_pool_timeout_keeps_its_cause_and_is_known_as_one() {
        let error = NoConnection::because("the cause").into_error();
        assert!(is_pool_timeout(&error) && is_pool_timeout(&sqlx::Error::PoolTimedOut));
        assert_eq!(loggable(&error), "the cause");
        assert!(!is_pool_timeout(&sqlx::Error::Io(io::ErrorKind::TimedOut.into())));
        assert!(!is_nobody_there(&error));
        let nobody = NoConnection { is_nobody_there: true, ..NoConnection::because("x") };
        assert!(is_nobody_there(&nobody.into_error()));
    }

    #[test]
    fn a_server_of_another_kind_is_named() {
        let mariadb = server_problem("11.4.2-MariaDB-ubu2404").unwrap();
        assert!(
            mariadb.contains("is MariaDB (version 11.4.2") && mariadb.contains("needs MySQL 8.0"),
            "{mariadb}"
        );
        assert!(server_problem("5.7.44-log").unwrap().contains("version 5.7.44-log"));
        assert_eq!(server_problem("8.0.36-28 Percona"), None);
        assert_eq!(server_problem("9.7.0"), None);
    }

    #[test]
    fn a_lost_connection_is_unavailable_and_a_missing_column_is_not() {
        let lost = sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into());
        assert!(is_unavailable(&lost));
        assert!(!is_unavailable(&sqlx::Error::ColumnNotFound("x".to_owned())));
    }
}
