//! `cargo xtask codegen`: writes everything that is generated from the Rust sources.

use clap::{Parser, Subcommand};

/// Code generation for this repository.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write crds/ and the chart's copy of it.
    Codegen,
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Codegen => {
            let changed = xtask::codegen()?;
            println!("{} files changed {}", changed.len(), changed.join(" "));
        }
    }
    Ok(())
}
