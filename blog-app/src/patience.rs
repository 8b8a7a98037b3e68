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
}

/// Migrates as soon as the database answers, with a new password if there is one, and gives up after this time.
pub async fn migrate_within(database: &Database, limit: Duration) -> anyhow::Result<Outcome> {
    let deadline = Instant::now() + limit;
    let mut wait = FIRST_WAIT;
    loop {
        let error = match attempt(database).await {
            Ok(outcome) => return Ok(outcome),
            Err(error) if !error.is_unavailable() => return Err(error.into()),
            Err(error) => error,
        };
        if Instant::now() + wait >= deadline {
            return Err(error).context(format!("gave up on the database after {} s", limit.as_secs()));
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
