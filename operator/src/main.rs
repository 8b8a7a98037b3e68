//! The command line: `operator run`, `plan`, `render`, `crds`, `check-ready`, `completions`.

use std::{process::ExitCode, time::Duration};

use clap::{CommandFactory, Parser};
use operator::{
    cli::{check_ready::check_ready, crds, plan, run},
    model::settings::{Cli, Command},
};

/// mimalloc instead of the C library's allocator.
///
/// The latter takes a third of the operator's CPU time and keeps more memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Run(args) => block_on(run::run(args)),
        Command::CheckReady { address, wait } => block_on(check_ready(&address, Duration::from_secs(wait))),
        Command::Plan(args) => match block_on(plan::plan(&args)) {
            Ok(found) => {
                print!("{}", found.text);
                if args.exit_code && found.changes > 0 {
                    return ExitCode::from(2);
                }
                Ok(())
            }
            Err(error) => Err(error),
        },
        Command::Render(args) => plan::render(&args).map(|yaml| print!("{yaml}")),
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

/// Runs a future on one thread.
///
/// The work mostly waits for the API server, and moving it between threads costs more CPU time than it saves.
fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}
