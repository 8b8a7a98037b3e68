//! The command line. What is typed is kept as it is here; `config` gives it a meaning.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::config::{DatabaseArgs, LogArgs, ServeArgs};

const EXAMPLES: &str = "\
Examples:
  blog-app
      A blog on http://localhost:5000, in ./flaskr.sqlite.
  BLOG_DATABASE_HOST=db BLOG_DATABASE_NAME=flaskr BLOG_DATABASE_USER=blog \\
  BLOG_DATABASE_PASSWORD_FILE=/run/secrets/db BLOG_SESSION_KEY_FILE=/run/secrets/key blog-app serve
      The same on MySQL. Run `blog-app migrate` with the same settings before.
  blog-app import instance/flaskr.sqlite
      Takes over a Flaskr blog.
  MYSQL_HOSTNAME=db MYSQL_DB_NAME=flaskr MYSQL_FLASK_USER=flask MYSQL_FLASK_PASSWORD=… \\
  FLASK_APP_SECRET_KEY=… blog-app serve
      With the variables of the Flask original.

Exit codes: 0 done, 1 failed, 2 wrong usage.";

/// Flaskr, the blog of Flask's tutorial, on MySQL or SQLite.
#[derive(Debug, Parser)]
#[command(name = "blog-app", version, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do; `serve` if nothing is said.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Settings of `serve`, for when it isn't named.
    #[command(flatten)]
    pub serve: ServeArgs,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the blog.
    Serve(Box<ServeArgs>),
    /// Bring the database's schema to this program's version, and introduce a new password; waits for the database.
    Migrate(Box<MigrateArgs>),
    /// Make the current password the only one that MySQL takes; the operator runs this after a rotation.
    DiscardPreviousPassword(Box<DiscardArgs>),
    /// Take over a Flaskr database (SQLite), or what `export` wrote.
    Import(ImportArgs),
    /// Write everything as JSON lines, for `import` to read.
    Export(ExportArgs),
    /// Make, list and change users.
    User(UserArgs),
    /// Show what the settings of `serve` mean, and whether they work.
    CheckConfig(Box<ServeArgs>),
    /// Ask a running blog whether it is ready; exits with 1 and the reason if not. The image's health check uses it.
    CheckReady(CheckReadyArgs),
    /// Print a completion script.
    Completions {
        /// For which shell.
        shell: Shell,
    },
}

/// Settings of `check-ready`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  blog-app check-ready
  blog-app check-ready 127.0.0.1:9091")]
pub struct CheckReadyArgs {
    /// Host and port of its /readyz.
    #[arg(value_name = "HOST:PORT", default_value = "127.0.0.1:9090")]
    pub address: String,
}

/// Settings of `import`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  blog-app import --dry-run instance/flaskr.sqlite     look what it would do
  blog-app import instance/flaskr.sqlite               users keep their passwords, posts their ids
  blog-app import backup.jsonl

Nothing is imported if anything is in the way; what is there already is left as it is.")]
pub struct ImportArgs {
    /// A Flaskr database, or an export.
    pub file: PathBuf,
    /// Say what would be done, and do nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// The database to import into.
    #[command(flatten)]
    pub database: DatabaseArgs,
}

/// Settings of `export`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  blog-app export backup.jsonl
  blog-app export | zstd > backup.jsonl.zst

The file holds the hashes of all passwords: keep it as safe as the database.")]
pub struct ExportArgs {
    /// The file to write, which must not exist yet; standard output if none is named.
    pub file: Option<PathBuf>,
    /// The database to export.
    #[command(flatten)]
    pub database: DatabaseArgs,
}

/// Settings of `user`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  blog-app user add ada                 asks for the password
  blog-app user add ada < password.txt  or reads it from standard input
  blog-app user list
  blog-app user disable mallory")]
pub struct UserArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: UserCommand,
    /// The database.
    #[command(flatten)]
    pub database: DatabaseArgs,
}

/// What can be done with users.
#[derive(Clone, Debug, Subcommand)]
pub enum UserCommand {
    /// Make a user; the password is asked for, or read from standard input.
    Add {
        /// The name.
        name: String,
    },
    /// List all users.
    List,
    /// Give a user another password, which ends all sessions.
    SetPassword {
        /// The name.
        name: String,
    },
    /// Keep a user from logging in; posts stay.
    Disable {
        /// The name.
        name: String,
    },
    /// Let a disabled user log in again, with the old password.
    Enable {
        /// The name.
        name: String,
    },
}

/// Settings of `migrate`.
#[derive(Args, Clone, Debug)]
pub struct MigrateArgs {
    /// How long to wait for the database.
    #[arg(long, env = "BLOG_MIGRATE_TIMEOUT", default_value = "5m", value_parser = duration, value_name = "DURATION")]
    pub timeout: Duration,
    /// How long to wait while the database's host isn't known or refuses the connection [default: as long as --timeout].
    #[arg(long, env = "BLOG_MIGRATE_PATIENCE", value_parser = duration, value_name = "DURATION")]
    pub patience: Option<Duration>,
    /// File that takes the schema's version at the end, or why there is none, if it exists; Kubernetes mounts it into containers.
    #[arg(long, env = "BLOG_TERMINATION_LOG", default_value = "/dev/termination-log", value_name = "FILE")]
    pub termination_log: PathBuf,
    /// The database.
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// The log.
    #[command(flatten)]
    pub log: LogArgs,
}

/// Settings of `discard-previous-password`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "A password is changed in three steps:
  1. The new one is written to BLOG_DATABASE_PASSWORD_FILE, the old one to BLOG_DATABASE_PREVIOUS_PASSWORD_FILE.
  2. blog-app migrate makes the new one the account's and keeps the old one valid.
  3. When every replica has the new one, blog-app discard-previous-password ends the old one.

The account needs APPLICATION_PASSWORD_ADMIN on *.*. Run twice, this does nothing the second time; before step 2 it is refused.")]
pub struct DiscardArgs {
    /// The database.
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// The log.
    #[command(flatten)]
    pub log: LogArgs,
}

/// `90s`, `5m`, `1h`, or plain seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.strip_suffix(['s', 'm', 'h']) {
        Some(number) => (number, text.as_bytes().last().copied()),
        None => (text, None),
    };
    let number: u64 = number.parse().map_err(|_| "write a duration like 90s, 5m or 1h".to_owned())?;
    let seconds = match unit {
        Some(b'm') => number.checked_mul(60),
        Some(b'h') => number.checked_mul(3600),
        _ => Some(number),
    };
    seconds.map(Duration::from_secs).ok_or_else(|| "the duration is too long".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(duration("90"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("1h"), Ok(Duration::from_secs(3600)));
        assert!(duration("soon").is_err());
        assert!(duration("99999999999999999h").is_err());
    }
}
