//! Migrating a database that may not be there yet.

use std::ops::ControlFlow;
use std::time::Duration;

use anyhow::Context;
use tokio::time::{Instant, sleep};

use crate::db::Database;
use crate::error::chain;
use crate::store::migrate::{self, Outcome, Step};

const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Migrates as soon as the database answers, and gives up after this time.
pub async fn migrate_within(database: &Database, limit: Duration) -> anyhow::Result<Outcome> {
    let deadline = Instant::now() + limit;
    let mut wait = FIRST_WAIT;
    loop {
        let mut tell = |step: Step| {
            tracing::info!(migration = step.migration, statement = step.statement, "applied");
            ControlFlow::Continue(())
        };
        let error = match migrate::migrate(database, &mut tell).await {
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
