//! `cargo xtask codegen`: writes the files that are generated from the Rust sources.

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
    /// Write crds/, the chart's copy of the CRD, and the other generated files.
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
