//! `blog-app migrate`: migrates a database that may not be reachable yet.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use thiserror::Error;
use tokio::time::{Instant, sleep};

use super::commands::MigrateArgs;
use crate::config::{DatabaseConfig, process_env};
use crate::db::Database;
use crate::error::chain;
use crate::server::shutdown::Signals;
use crate::store::migrate::{self, Outcome, Step};
use crate::store::mysql_account;

const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// How long a reachable server may refuse the account.
///
/// The account may be about to be created, but a wrong setting becomes visible only when this program ends.
const REFUSAL_PATIENCE: Duration = Duration::from_secs(30);

/// What can fail.
#[derive(Debug, Error)]
enum Error {
    #[error(transparent)]
    Password(#[from] mysql_account::Error),
    #[error(transparent)]
    Migrate(#[from] migrate::Error),
}

impl Error {
    fn is_unavailable(&self) -> bool {
        match self {
            Self::Password(error) => error.is_unavailable(),
            Self::Migrate(error) => error.is_unavailable(),
        }
    }

    /// Whether the server is reachable and refuses the account.
    fn is_refused(&self) -> bool {
        match self {
            Self::Password(mysql_account::Error::BothRefused) => true,
            Self::Password(mysql_account::Error::Store(error))
            | Self::Migrate(migrate::Error::Store(error)) => error.is_refused(),
            Self::Password(_) | Self::Migrate(_) => false,
        }
    }

    /// Whether nothing listens at the configured address.
    fn is_nobody_there(&self) -> bool {
        match self {
            Self::Password(mysql_account::Error::Store(error))
            | Self::Migrate(migrate::Error::Store(error)) => error.is_nobody_there(),
            Self::Password(_) | Self::Migrate(_) => false,
        }
    }

    fn kind(&self) -> Kind {
        if self.is_refused() {
            Kind::Refused
        } else if self.is_nobody_there() {
            Kind::NobodyThere
        } else {
            Kind::Away
        }
    }

    /// What the administrator can check.
    fn advice(&self, waited: Duration) -> String {
        let seconds = waited.as_secs();
        if self.is_refused() {
            return format!(
                "gave up after the server had refused the account for {seconds} s; check user, password and database"
            );
        }
        if self.is_nobody_there() {
            return format!(
                "gave up on the database after {seconds} s without a server at its address; check host and port"
            );
        }
        format!("gave up on the database after {seconds} s")
    }
}

/// Why the database can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The server refuses the account.
    Refused,
    /// The host is unknown, or nothing listens there.
    NobodyThere,
    /// Another error that may be temporary.
    Away,
}

/// Time limits for waiting.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Limit of the whole wait.
    pub limit: Duration,
    /// Limit while nothing listens at the address; the whole limit if unset.
    pub nobody_there: Option<Duration>,
}

impl Patience {
    /// The limit for errors of this kind.
    fn with(&self, kind: Kind) -> Duration {
        let longest = match kind {
            Kind::Refused => Some(REFUSAL_PATIENCE),
            Kind::NobodyThere => self.nobody_there,
            Kind::Away => None,
        };
        longest.map_or(self.limit, |longest| longest.min(self.limit))
    }
}

/// Time limits for SQLite.
///
/// Two processes that start on a new file block each other briefly.
pub const SQLITE_PATIENCE: Patience = Patience { limit: Duration::from_secs(5), nobody_there: None };

/// Runs the migration.
///
/// As process 1 of an init container the program ends on a signal only if it handles it.
pub async fn run(args: &MigrateArgs) -> anyhow::Result<()> {
    let mut signals = Signals::listen()?;
    let outcome = tokio::select! {
        outcome = migrate_database(args) => outcome,
        _ = signals.next() => bail!("stopped by a signal before the migration was done"),
    };
    if let Err(error) = &outcome {
        leave_last_words(&args.termination_log, &format!("{error:#}"));
    }
    outcome
}

async fn migrate_database(args: &MigrateArgs) -> anyhow::Result<()> {
    let config = DatabaseConfig::resolve(&args.database, &process_env)?;
    let database = Database::lazy(&config);
    let patience = Patience { limit: args.timeout, nobody_there: args.patience };
    let Outcome { from, to } = migrate_with_retry(&database, patience).await?;
    if from == to {
        tracing::info!(version = to, "the schema is up to date");
    } else {
        tracing::info!(from, to, "migrated");
    }
    database.close().await;
    leave_last_words(&args.termination_log, &format!("schema version {to}"));
    Ok(())
}

/// Migrates once the database answers, and changes the password if a new one exists.
///
/// Gives up after the limits of `patience`.
pub async fn migrate_with_retry(database: &Database, patience: Patience) -> anyhow::Result<Outcome> {
    let started = Instant::now();
    let mut lasting: Option<(Kind, Instant)> = None;
    let mut wait = FIRST_WAIT;
    loop {
        let begun = Instant::now();
        let error = match attempt(database).await {
            Ok(outcome) => return Ok(outcome),
            Err(error) if !error.is_unavailable() => return Err(error.into()),
            Err(error) => error,
        };
        let kind = error.kind();
        let since = lasting.filter(|(before, _)| *before == kind).map_or(begun, |(_, since)| since);
        lasting = Some((kind, since));
        let over = |since: Instant, limit: Duration| (since.elapsed() + wait >= limit).then_some(limit);
        if let Some(waited) = over(started, patience.limit).or_else(|| over(since, patience.with(kind))) {
            let advice = error.advice(waited);
            return Err(error).context(advice);
        }
        tracing::info!(error = chain(&error), retry_in_ms = wait.as_millis(), "waiting for the database");
        sleep(wait).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

async fn attempt(database: &Database) -> Result<Outcome, Error> {
    if let Database::MySql(server) = database
        && mysql_account::rotate(server).await?
    {
        tracing::info!("set the new password; the previous one stays valid until discarded");
    }
    let mut tell = |step: Step| {
        tracing::info!(migration = step.migration, statement = step.statement, "applied");
        ControlFlow::Continue(())
    };
    Ok(migrate::migrate(database, &mut tell).await?)
}

/// Writes the container's termination message: the schema's version, or the error.
///
/// The operator reads it. The file exists only in a pod.
fn leave_last_words(path: &Path, words: &str) {
    if !path.is_file() {
        return;
    }
    if let Err(error) = fs::write(path, format!("{words}\n")) {
        tracing::warn!(%error, path = %path.display(), "failed to write the termination message");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_refuses_us_is_waited_for_less_long_than_one_that_is_away_and_the_end_says_why() {
        let limit = Duration::from_secs(300);
        let patience = Patience { limit, nobody_there: None };
        let away = Error::Migrate(migrate::Error::Store(crate::store::Error::Unavailable {
            operation: "connect",
            reason: sqlx::Error::PoolClosed,
        }));
        assert_eq!(patience.with(away.kind()), limit);
        assert_eq!(away.advice(limit), "gave up on the database after 300 s");
        let refused = Error::Password(mysql_account::Error::BothRefused);
        assert_eq!(patience.with(refused.kind()), REFUSAL_PATIENCE);
        assert!(refused.advice(REFUSAL_PATIENCE).contains("check user, password and database"));
    }
}
