//! The entry point: parses arguments, runs the command, reports its error once.

use std::process::ExitCode;

use blog_app::cli::commands::Cli;
use blog_app::cli::curl_shim::Tool;
use clap::Parser;

/// glibc's allocator keeps the 19 MiB of each thread that has ever hashed a password.
///
/// After a burst of logins that exceeded a container's memory limit.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    if let Some(tool) = arguments.next().as_deref().and_then(Tool::named) {
        return tool.run(arguments).await;
    }
    match blog_app::cli::run(Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("blog-app: {error:#}");
            ExitCode::FAILURE
        }
    }
}
