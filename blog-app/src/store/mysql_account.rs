//! The account's own password: changed without an interruption, by MySQL's two passwords an account.
//!
//! The server takes the new one and the one before until the latter is discarded, so replicas that know only one of the two
//! keep working while the other ones are told.

use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::{AssertSqlSafe, Executor, query_scalar};
use thiserror::Error;
use tokio::time::Duration;

use super::with_timeout;
use crate::config::{self, Redacted, Rotation, Target};
use crate::db::{self, MySql, STATEMENT_TIMEOUT};

/// How long to wait for somebody else who is changing it.
const LOCK_WAIT: Duration = Duration::from_secs(10);

/// MySQL's "access denied; you need (at least one of) the privilege(s)".
const PRIVILEGE_MISSING: u16 = 1227;

/// What can go wrong. No message holds a password: of the server's own, only the number is kept.
#[derive(Debug, Error)]
pub enum Error {
    /// A file of the settings.
    #[error(transparent)]
    Settings(#[from] config::Error),
    /// The server.
    #[error(transparent)]
    Store(#[from] super::Error),
    /// The account may not have two passwords.
    #[error(
        "failed to {operation}: the account lacks a privilege; let an administrator of the server run: \
         GRANT APPLICATION_PASSWORD_ADMIN ON *.* TO {account}"
    )]
    Privilege {
        /// What was being done.
        operation: &'static str,
        /// The account, as SQL has it.
        account: String,
    },
    /// Neither is right.
    #[error(
        "failed to log in: the server refuses both the password in BLOG_DATABASE_PASSWORD_FILE and the one in \
         BLOG_DATABASE_PREVIOUS_PASSWORD_FILE; write the one that it has into the latter"
    )]
    BothRefused,
    /// Somebody may still need the one before.
    #[error(
        "failed to discard the previous password: the server refuses the current one; \
         run `blog-app migrate` with the same settings first"
    )]
    CurrentRefused,
    /// Somebody else is at it, or hangs.
    #[error("failed to get the lock on the password within {} s: somebody else is changing it", LOCK_WAIT.as_secs())]
    Locked,
    /// SQLite.
    #[error("failed to discard the previous password: the blog is on SQLite, which has no passwords")]
    NoServer,
}

impl Error {
    /// Whether waiting may help: for the server, or for somebody who repairs the files.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::Store(error) => error.is_unavailable(),
            Self::Settings(_) | Self::BothRefused | Self::Locked => true,
            Self::Privilege { .. } | Self::CurrentRefused | Self::NoServer => false,
        }
    }
}

/// Makes the password of the settings the account's, if the server doesn't take it yet but takes the one before, and keeps
/// that one valid. Says whether it did. Safe to run any number of times, by several at once.
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
    // With it goes the lock.
    db::close(connection).await;
    changed
}

/// Makes the password of the settings the account's by a login that still works: somebody has put another password into the
/// file and nothing else, and whoever starts from now on will be refused. Says whether it did.
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

/// Only one at a time, and only if nobody has done it meanwhile: done twice, it would retain the new password in the place
/// of the one that other replicas still use.
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
    // Quoting depends on it. A password can't be a parameter of this statement.
    let plain = connection.execute("SET SESSION sql_mode = ''");
    with_timeout(CHANGE, STATEMENT_TIMEOUT, plain).await?;
    let alter = format!("ALTER USER USER() IDENTIFIED BY {} RETAIN CURRENT PASSWORD", quoted(new));
    run(connection, CHANGE, alter).await?;
    Ok(true)
}

/// Makes the password of the settings the only one. Does nothing if it is that already.
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

/// A text as SQL has it, where backslashes escape.
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
