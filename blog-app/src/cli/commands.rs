//! The command line, as it is typed; `config` interprets it.

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
    /// The command; `serve` if none is given.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Settings of `serve`, used if no command is given.
    #[command(flatten)]
    pub serve: ServeArgs,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the blog.
    Serve(Box<ServeArgs>),
    /// Migrate the database's schema to this version and introduce a new password; waits for the database.
    Migrate(Box<MigrateArgs>),
    /// Discard the previous password in MySQL; the operator runs this after a rotation.
    DiscardPreviousPassword(Box<DiscardArgs>),
    /// Import a Flaskr database (SQLite) or a file written by `export`.
    Import(ImportArgs),
    /// Write everything as JSON lines, for `import` to read.
    Export(ExportArgs),
    /// Create, list and change users.
    User(UserArgs),
    /// Show what the settings of `serve` mean and check whether they work.
    CheckConfig(Box<ServeArgs>),
    /// Check whether a running blog is ready; exits with 1 and the reason if not. The image's health check uses it.
    CheckReady(CheckReadyArgs),
    /// Print a completion script.
    Completions {
        /// The shell.
        shell: Shell,
    },
}

/// Settings of `check-ready`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  blog-app check-ready
  blog-app check-ready 127.0.0.1:9091")]
pub struct CheckReadyArgs {
    /// Host and port of the admin listener that serves /readyz.
    #[arg(value_name = "HOST:PORT", default_value = "127.0.0.1:9090")]
    pub address: String,
}

/// Settings of `import`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  blog-app import --dry-run instance/flaskr.sqlite     report what would be imported
  blog-app import instance/flaskr.sqlite               users keep their passwords, posts their ids
  blog-app import backup.jsonl

Nothing is imported if a row conflicts; rows that exist already are left unchanged.")]
pub struct ImportArgs {
    /// A Flaskr database or an export.
    pub file: PathBuf,
    /// Report what would be imported, without writing anything.
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
    /// The file to write, which must not exist yet [default: standard output].
    pub file: Option<PathBuf>,
    /// The database to export.
    #[command(flatten)]
    pub database: DatabaseArgs,
}

/// Settings of `user`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  blog-app user add ada                 prompts for the password
  blog-app user add ada < password.txt  reads it from standard input
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

/// Subcommands of `user`.
#[derive(Clone, Debug, Subcommand)]
pub enum UserCommand {
    /// Create a user; the password is read from a prompt or from standard input.
    Add {
        /// The name.
        name: String,
    },
    /// List all users.
    List,
    /// Change a user's password, which ends all of the user's sessions.
    SetPassword {
        /// The name.
        name: String,
    },
    /// Prevent a user from logging in; the posts stay.
    Disable {
        /// The name.
        name: String,
    },
    /// Allow a disabled user to log in again, with the old password.
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
    /// How long to wait while the host is unknown or refuses the connection [default: as long as --timeout].
    #[arg(long, env = "BLOG_MIGRATE_PATIENCE", value_parser = duration, value_name = "DURATION")]
    pub patience: Option<Duration>,
    /// File for the schema's version or the reason of a failure, written only if it exists; Kubernetes mounts it into containers.
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
  2. blog-app migrate sets the new password of the account; the old one stays valid.
  3. When every replica has the new one, blog-app discard-previous-password discards the old one.

The account needs APPLICATION_PASSWORD_ADMIN on *.*. Run twice, this does nothing the second time; before step 2 it is refused.")]
pub struct DiscardArgs {
    /// The database.
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// The log.
    #[command(flatten)]
    pub log: LogArgs,
}

/// Parses `90s`, `5m`, `1h`, or plain seconds.
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
