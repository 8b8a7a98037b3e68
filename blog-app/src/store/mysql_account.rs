//! Changes the account's own password without an interruption, by MySQL's dual passwords.
//!
//! The server accepts the new and the previous password until the latter is discarded. Replicas that have only one of
//! the two keep working while the others are updated.

use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::{AssertSqlSafe, Executor, query_scalar};
use thiserror::Error;
use tokio::time::Duration;

use super::with_timeout;
use crate::config::{self, Redacted, Rotation, Target};
use crate::db::{self, MySql, STATEMENT_TIMEOUT};

/// How long to wait for a concurrent change.
const LOCK_WAIT: Duration = Duration::from_secs(10);

/// MySQL's "access denied; you need (at least one of) the privilege(s)".
const PRIVILEGE_MISSING: u16 = 1227;

/// Why a change failed.
///
/// No message holds a password: of the server's messages only the number is kept.
#[derive(Debug, Error)]
pub enum Error {
    /// A file of the settings can't be read.
    #[error(transparent)]
    Settings(#[from] config::Error),
    /// A statement failed.
    #[error(transparent)]
    Store(#[from] super::Error),
    /// The account lacks the privilege for two passwords.
    #[error(
        "failed to {operation}: the account lacks a privilege; let an administrator of the server run: \
         GRANT APPLICATION_PASSWORD_ADMIN ON *.* TO {account}"
    )]
    Privilege {
        /// The operation that failed.
        operation: &'static str,
        /// The account in SQL notation.
        account: String,
    },
    /// The server refuses both passwords.
    #[error(
        "failed to log in: the server refuses both the password in BLOG_DATABASE_PASSWORD_FILE and the one in \
         BLOG_DATABASE_PREVIOUS_PASSWORD_FILE; write the one that it has into the latter"
    )]
    BothRefused,
    /// The current password isn't valid yet, so the previous one may still be needed.
    #[error(
        "failed to discard the previous password: the server refuses the current one; \
         run `blog-app migrate` with the same settings first"
    )]
    CurrentRefused,
    /// Another process is changing the password, or hangs.
    #[error("failed to get the lock on the password within {} s: another process is changing it", LOCK_WAIT.as_secs())]
    Locked,
    /// SQLite has no passwords.
    #[error("failed to discard the previous password: the blog is on SQLite, which has no passwords")]
    NoServer,
}

impl Error {
    /// Whether waiting may help: for the server, or for files that an administrator repairs.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::Store(error) => error.is_unavailable(),
            Self::Settings(_) | Self::BothRefused | Self::Locked => true,
            Self::Privilege { .. } | Self::CurrentRefused | Self::NoServer => false,
        }
    }
}

/// Sets the configured password if the server accepts only the previous one.
///
/// Returns whether it did.
///
/// The previous one stays valid. It is safe to run any number of times and in parallel.
pub async fn rotate(server: &MySql) -> Result<bool, Error> {
    let config = server.config().reload()?;
    let (Target::MySql(Redacted(current)), Some(rotation)) = (&config.target, &config.rotation) else {
        return Ok(false);
    };
    if is_accepted(current).await? {
        return Ok(false);
    }
    let Rotation { new, previous: Redacted(previous) } = rotation;
    let mut connection = match db::connect(previous).await {
        Err(error) if db::is_password_refused(&error) => return Err(Error::BothRefused),
        connected => connected.map_err(failed("log in with the previous password"))?,
    };
    let changed = change(&mut connection, current, new).await;
    // Closing the connection releases the lock.
    db::close(connection).await;
    changed
}

/// Sets the configured password with a login that still works.
///
/// Returns whether it did.
///
/// An administrator has changed the password in its file only, so processes that start from now on would be refused.
pub async fn set_password_from_file(server: &MySql) -> Result<bool, Error> {
    let config = server.config().reload()?;
    let (Target::MySql(Redacted(current)), Some(new)) = (&config.target, config.password()?) else {
        return Ok(false);
    };
    if is_accepted(current).await? {
        return Ok(false);
    }
    let mut connection = match db::connect(&server.pool().connect_options()).await {
        Err(error) if db::is_password_refused(&error) => return Err(Error::BothRefused),
        connected => connected.map_err(failed("log in with the password so far"))?,
    };
    let changed = change(&mut connection, current, &new).await;
    db::close(connection).await;
    changed
}

/// Changes the password under a lock, unless another process has done so meanwhile.
///
/// Done twice, it would retain the new password in place of the one that other replicas still use.
async fn change(
    connection: &mut MySqlConnection,
    current: &MySqlConnectOptions,
    Redacted(new): &Redacted<String>,
) -> Result<bool, Error> {
    const LOCK: &str = "SELECT GET_LOCK(CONCAT('blog-password-', LEFT(SHA2(CURRENT_USER(), 256), 40)), ?)";
    const CHANGE: &str = "change the account's password";
    let wait = i64::try_from(LOCK_WAIT.as_secs()).unwrap_or(i64::MAX);
    let lock = query_scalar(LOCK).bind(wait).fetch_one(&mut *connection);
    let got: Option<i64> =
        with_timeout("get the lock on the password", LOCK_WAIT + STATEMENT_TIMEOUT, lock).await?;
    if got != Some(1) {
        return Err(Error::Locked);
    }
    if is_accepted(current).await? {
        return Ok(false);
    }
    // Quoting depends on this mode. A password can't be a parameter of this statement.
    let plain = connection.execute("SET SESSION sql_mode = ''");
    with_timeout(CHANGE, STATEMENT_TIMEOUT, plain).await?;
    let alter = format!("ALTER USER USER() IDENTIFIED BY {} RETAIN CURRENT PASSWORD", quoted(new));
    run(connection, CHANGE, alter).await?;
    Ok(true)
}

/// Discards the previous password; does nothing if none is retained.
pub async fn discard_previous(server: &MySql) -> Result<(), Error> {
    const DISCARD: &str = "discard the previous password";
    let Target::MySql(Redacted(current)) = server.config().reload()?.target else {
        return Err(Error::NoServer);
    };
    let mut connection = match db::connect(&current).await {
        Err(error) if db::is_password_refused(&error) => return Err(Error::CurrentRefused),
        connected => connected.map_err(failed("connect to the database"))?,
    };
    let discarded = run(&mut connection, DISCARD, "ALTER USER USER() DISCARD OLD PASSWORD".to_owned()).await;
    db::close(connection).await;
    discarded
}

async fn is_accepted(options: &MySqlConnectOptions) -> Result<bool, Error> {
    match db::connect(options).await {
        Ok(connection) => {
            db::close(connection).await;
            Ok(true)
        }
        Err(error) if db::is_password_refused(&error) => Ok(false),
        Err(error) => Err(failed("connect to the database")(error)),
    }
}

async fn run(
    connection: &mut MySqlConnection,
    operation: &'static str,
    statement: String,
) -> Result<(), Error> {
    let done = connection.execute(AssertSqlSafe(statement));
    match with_timeout(operation, STATEMENT_TIMEOUT, done).await {
        Ok(_) => Ok(()),
        Err(super::Error::Query { reason, .. }) if db::mysql_number(&reason) == Some(PRIVILEGE_MISSING) => {
            let name = query_scalar("SELECT CURRENT_USER()").fetch_one(connection);
            let name: String = with_timeout(operation, STATEMENT_TIMEOUT, name).await?;
            let (user, host) = name.rsplit_once('@').unwrap_or((&name, "%"));
            Err(Error::Privilege { operation, account: format!("{}@{}", quoted(user), quoted(host)) })
        }
        Err(error) => Err(error.into()),
    }
}

fn failed(operation: &'static str) -> impl Fn(sqlx::Error) -> Error {
    move |source| Error::Store(super::Error::new(operation, source))
}

/// Quotes a text for SQL with backslash escapes.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_cannot_end_its_quotes() {
        assert_eq!(quoted("plain"), "'plain'");
        assert_eq!(quoted(r"it's \' here"), r"'it''s \\'' here'");
    }
}
