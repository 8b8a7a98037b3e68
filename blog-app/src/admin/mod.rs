//! What the owner of a blog does at a command line: users, moving in and out, a look at the settings.

pub mod check;
pub mod curl;
pub mod export;
pub mod import;
pub mod ready;
mod source;
pub mod users;

use std::time::Instant;

use anyhow::{Context, bail};

use crate::cli::DatabaseArgs;
use crate::config::{DatabaseConfig, process_env};
use crate::db::Database;
use crate::store::schema;

/// The database of the settings, found to be there and to have a schema.
pub async fn open(args: &DatabaseArgs) -> anyhow::Result<Database> {
    let config = DatabaseConfig::resolve(args, &process_env)?;
    let database = Database::lazy(&config);
    let found = schema::inspect(&database).await.context("failed to open the database")?;
    if let Some(problem) = found.problem {
        bail!(problem);
    }
    Ok(database)
}

/// Tells on standard error how far long work is, at most once a second.
pub struct Progress {
    what: &'static str,
    started: Instant,
    told: Instant,
}

impl Progress {
    /// Of this work.
    #[must_use]
    pub fn new(what: &'static str) -> Self {
        let now = Instant::now();
        Self { what, started: now, told: now }
    }

    /// So many are done.
    pub fn at(&mut self, done: usize) {
        if self.told.elapsed().as_secs() >= 1 {
            self.told = Instant::now();
            eprintln!("[{:4.0} s] {} {done}", self.started.elapsed().as_secs_f64(), self.what);
        }
    }
}
