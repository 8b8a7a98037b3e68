//! Commands: from the command line to an exit code.

pub(crate) mod check_config;
mod check_ready;
pub mod commands;
pub mod curl_shim;
mod discard_password;
mod export;
mod import;
mod import_source;
mod migrate;
mod open_database;
mod progress;
mod serve;
mod users;

use std::io;

use clap::CommandFactory;

use self::commands::{Cli, Command};
use crate::config::{LogArgs, process_env};
use crate::telemetry::logging;

/// Runs the command.
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
            migrate::run(&args).await
        }
        Some(Command::DiscardPreviousPassword(args)) => {
            start_log(&args.log)?;
            discard_password::run(&args).await
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

/// Starts the log for commands that run in containers; the others print.
fn start_log(args: &LogArgs) -> anyhow::Result<()> {
    logging::init(&args.filter, args.format).map_err(Into::into)
}
