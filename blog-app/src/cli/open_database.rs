//! Opens the database for commands of the administrator: users, import, export.

use anyhow::{Context, bail};

use crate::cli::migrate::{SQLITE_PATIENCE, migrate_with_retry};
use crate::config::{DatabaseArgs, DatabaseConfig, Target, process_env};
use crate::db::Database;
use crate::store::schema;

/// Opens the configured database.
///
/// Fails if it doesn't exist or has no schema.
pub async fn open(args: &DatabaseArgs) -> anyhow::Result<Database> {
    let config = DatabaseConfig::resolve(args, &process_env)?;
    if let Target::Sqlite(file) = &config.target
        && !file.exists()
    {
        bail!(
            "no database exists in {}: start the blog there once, or run `blog-app migrate`",
            file.display()
        );
    }
    let database = Database::lazy(&config);
    let found = schema::inspect(&database).await.context("failed to open the database")?;
    if let Some(problem) = found.problem {
        bail!(problem);
    }
    Ok(database)
}

/// Opens the configured database for writing an import.
///
/// A file is migrated first, as `serve` does. A trial only reads it, and treats a missing file as empty.
pub async fn open_to_fill(args: &DatabaseArgs, is_trial: bool) -> anyhow::Result<Database> {
    let config = DatabaseConfig::resolve(args, &process_env)?;
    let Target::Sqlite(file) = &config.target else { return open(args).await };
    let database = match (is_trial, file.exists()) {
        (false, _) => Database::lazy(&config),
        (true, true) => Database::read_only(file),
        (true, false) => Database::in_memory(),
    };
    let found = schema::inspect(&database).await.context("failed to open the database")?;
    match found.problem {
        Some(problem) if !found.is_migratable => bail!(problem),
        // It has no rows yet, so an empty database in memory is equivalent.
        Some(_) if is_trial => {
            let empty = Database::in_memory();
            migrate_with_retry(&empty, SQLITE_PATIENCE).await?;
            return Ok(empty);
        }
        _ if is_trial => {}
        _ => {
            let migrated = migrate_with_retry(&database, SQLITE_PATIENCE).await;
            migrated.with_context(|| format!("failed to prepare the database in {}", file.display()))?;
        }
    }
    Ok(database)
}
