//! The thin outside: parse, run, report once.

use std::process::ExitCode;

use blog_app::cli::Cli;
use clap::Parser;

#[tokio::main]
async fn main() -> ExitCode {
    match blog_app::run::run(Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("blog-app: {error:#}");
            ExitCode::FAILURE
        }
    }
}
