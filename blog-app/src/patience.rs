//! Migrating a database that may not be there yet.

use std::ops::ControlFlow;
use std::time::Duration;

use anyhow::Context;
use thiserror::Error;
use tokio::time::{Instant, sleep};

use crate::db::Database;
use crate::error::chain;
use crate::store::migrate::{self, Outcome, Step};
use crate::store::password;

const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// How long a server that answers may refuse us: an account may be on its way, but whoever has to mend it learns of it only
/// when we end.
const REFUSAL_PATIENCE: Duration = Duration::from_secs(30);

/// What can fail.
#[derive(Debug, Error)]
enum Error {
    #[error(transparent)]
    Password(#[from] password::Error),
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

    /// Whether the server is there and doesn't want us.
    fn is_refused(&self) -> bool {
        match self {
            Self::Password(password::Error::BothRefused) => true,
            Self::Password(password::Error::Store(error)) | Self::Migrate(migrate::Error::Store(error)) => {
                error.is_refused()
            }
            Self::Password(_) | Self::Migrate(_) => false,
        }
    }

    /// What somebody can do about it.
    fn advice(&self, waited: Duration) -> String {
        let seconds = waited.as_secs();
        if self.is_refused() {
            return format!(
                "gave up after the server had refused the account for {seconds} s; check user, password and database"
            );
        }
        format!("gave up on the database after {seconds} s")
    }
}

/// How long we wait in all, from the first error or from the first refusal in a row.
fn patience(error: &Error, limit: Duration) -> Duration {
    if error.is_refused() { REFUSAL_PATIENCE.min(limit) } else { limit }
}

/// Migrates as soon as the database answers, with a new password if there is one, and gives up after this time.
pub async fn migrate_within(database: &Database, limit: Duration) -> anyhow::Result<Outcome> {
    let started = Instant::now();
    let mut refused_since = None;
    let mut wait = FIRST_WAIT;
    loop {
        let error = match attempt(database).await {
            Ok(outcome) => return Ok(outcome),
            Err(error) if !error.is_unavailable() => return Err(error.into()),
            Err(error) => error,
        };
        refused_since = error.is_refused().then(|| refused_since.unwrap_or_else(Instant::now));
        let patience = patience(&error, limit);
        let over = |since: Instant, patience| (since.elapsed() + wait >= patience).then_some(patience);
        if let Some(waited) = over(started, limit).or_else(|| over(refused_since?, patience)) {
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
        && password::rotate(server).await?
    {
        tracing::info!(
            "the server takes the new password; it goes on taking the one before until that is discarded"
        );
    }
    let mut tell = |step: Step| {
        tracing::info!(migration = step.migration, statement = step.statement, "applied");
        ControlFlow::Continue(())
    };
    Ok(migrate::migrate(database, &mut tell).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_refuses_us_is_waited_for_less_long_than_one_that_is_away_and_the_end_says_why() {
        let limit = Duration::from_secs(300);
        let away = Error::Migrate(migrate::Error::Store(crate::store::Error::Unavailable {
            operation: "connect",
            reason: sqlx::Error::PoolClosed,
        }));
        assert_eq!(patience(&away, limit), limit);
        assert_eq!(away.advice(limit), "gave up on the database after 300 s");
        let refused = Error::Password(password::Error::BothRefused);
        assert_eq!(patience(&refused, limit), REFUSAL_PATIENCE);
        assert!(refused.advice(REFUSAL_PATIENCE).contains("check user, password and database"));
    }
}
