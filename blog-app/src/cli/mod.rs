//! From the command line to an exit code.

pub(crate) mod check_config;
mod check_ready;
pub mod commands;
pub mod curl_shim;
mod export;
mod import;
mod import_source;
mod migrate;
mod open_database;
mod serve;
mod users;

use std::path::Path;
use std::{fs, io};

use anyhow::bail;
use clap::CommandFactory;

use self::commands::{Cli, Command, DiscardArgs, MigrateArgs};
use self::migrate::{Patience, migrate_within};
use self::serve::Signals;
use crate::config::{DatabaseConfig, LogArgs, process_env};
use crate::db::Database;
use crate::store::migrate::Outcome;
use crate::store::mysql_account;
use crate::telemetry::logging;

/// Does what the command line says.
pub async fn run(cli: Cli) -> anyhow::Result<()> {
    match cli.command {
        None => {
            start_log(&cli.serve.log)?;
            serve::run(cli.serve, &process_env).await
        }
        Some(Command::Serve(args)) => {
            start_log(&args.log)?;
            serve::run(*args, &process_env).await
        }
        Some(Command::Migrate(args)) => {
            start_log(&args.log)?;
            migrate_or_stop(&args).await
        }
        Some(Command::DiscardPreviousPassword(args)) => {
            start_log(&args.log)?;
            discard_previous_password(&args).await
        }
        Some(Command::Import(args)) => import::run(&args).await,
        Some(Command::Export(args)) => export::run(&args).await,
        Some(Command::User(args)) => users::run(&args).await,
        Some(Command::CheckConfig(args)) => check_config::run(&args, &process_env).await,
        Some(Command::CheckReady(args)) => check_ready::run(&args).await,
        Some(Command::Completions { shell }) => {
            clap_complete::generate(shell, &mut Cli::command(), "blog-app", &mut io::stdout());
            Ok(())
        }
    }
}

fn start_log(args: &LogArgs) -> anyhow::Result<()> {
    logging::init(&args.filter, args.format).map_err(Into::into)
}

/// As process 1 of an init container, a signal ends us only if we listen for it.
async fn migrate_or_stop(args: &MigrateArgs) -> anyhow::Result<()> {
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
    let Outcome { from, to } = migrate_within(&database, patience).await?;
    if from == to {
        tracing::info!(version = to, "the schema is up to date");
    } else {
        tracing::info!(from, to, "migrated");
    }
    database.close().await;
    leave_last_words(&args.termination_log, &format!("schema version {to}"));
    Ok(())
}

async fn discard_previous_password(args: &DiscardArgs) -> anyhow::Result<()> {
    let config = DatabaseConfig::resolve(&args.database, &process_env)?;
    let Database::MySql(server) = Database::lazy(&config) else { bail!(mysql_account::Error::NoServer) };
    mysql_account::discard_previous(&server).await?;
    tracing::info!("the current password is the only one");
    Ok(())
}

/// The operator learns the schema's version, or why there is none, from the container's termination message. The file exists
/// only in a pod.
fn leave_last_words(path: &Path, words: &str) {
    if !path.is_file() {
        return;
    }
    if let Err(error) = fs::write(path, format!("{words}\n")) {
        tracing::warn!(%error, path = %path.display(), "failed to write the termination message");
    }
}
