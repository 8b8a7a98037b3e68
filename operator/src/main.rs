//! The command line: `operator run`, `crds`, `check-ready`, `completions`.

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use operator::{
    config::{Cli, Command},
    crds, health, run,
};

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Run(args) => block_on(run::run(args)),
        Command::CheckReady { address } => block_on(health::check_ready(&address)),
        Command::Crds => crds::yaml().map(|yaml| print!("{yaml}")).map_err(Into::into),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "operator", &mut std::io::stdout());
            Ok(())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("operator: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// On one thread: the work is waiting for the API server, and handing it from thread to thread costs more than it gains.
fn block_on(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}
