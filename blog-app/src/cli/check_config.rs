//! `blog-app check-config`: prints what the settings mean, and checks whether they work.

use std::time::Duration;

use anyhow::bail;
use clap::ValueEnum;
use tokio::time::timeout;

use crate::config::{DatabaseConfig, Env, Redacted, ServeArgs, Target};
use crate::db::Database;
use crate::error::chain;
use crate::security::session_keys::KeySource;
use crate::store::schema::{self, Inspection};

const ROTATING: &str =
    "a new one is being introduced by `blog-app migrate`; where it is refused, the previous one is used";
const PATIENCE: Duration = Duration::from_secs(10);

/// Prints one line per check; fails if one of them fails.
pub async fn run(args: &ServeArgs, env: Env<'_>) -> anyhow::Result<()> {
    let mut failed = 0;
    let mut tell = |what: &str, outcome: Result<String, String>| match outcome {
        Ok(text) => println!("ok    {what}: {text}"),
        Err(text) => {
            failed += 1;
            println!("FAIL  {what}: {text}");
        }
    };
    let (registration, markup) = (word(&args.registration), word(&args.markup));
    tell("site", Ok(format!("{}; registration is {registration}; posts are {markup} text", args.title)));
    tell("listens on", Ok(format!("{} for readers, {} for probes", args.listen, args.admin_listen)));
    match DatabaseConfig::resolve(&args.database, env) {
        Err(error) => tell("database", Err(chain(&error))),
        Ok(config) => {
            tell("database", Ok(place(&config)));
            tell("session key", key(args, &config.target, env));
            tell("schema", schema_of(&config).await);
            if config.rotation.is_some() {
                tell("password", Ok(ROTATING.to_owned()));
            }
        }
    }
    if failed > 0 {
        bail!("{failed} of the settings don't work");
    }
    Ok(())
}

/// The value as it is written on the command line.
fn word(value: &impl ValueEnum) -> String {
    value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

fn place(config: &DatabaseConfig) -> String {
    match &config.target {
        Target::Sqlite(file) => format!("SQLite in {}", file.display()),
        Target::MySql(Redacted(options)) => format!(
            "MySQL at {}:{}, database {}, account {}, {}",
            options.get_host(),
            options.get_port(),
            options.get_database().unwrap_or_default(),
            options.get_username(),
            config.tls.describe(options)
        ),
    }
}

fn key(args: &ServeArgs, target: &Target, env: Env<'_>) -> Result<String, String> {
    let source = KeySource::resolve(args, target, env).map_err(|error| chain(&error))?;
    let text = match &source {
        KeySource::Files { current, .. } => format!("in {}", current.display()),
        KeySource::Phrase(_) => "from FLASK_APP_SECRET_KEY".to_owned(),
        // Checking must not create the key.
        KeySource::Beside(path) => {
            return Ok(format!("beside the database in {}, created if it is missing", path.display()));
        }
    };
    source.load().map(|_| text).map_err(|error| chain(&error))
}

async fn schema_of(config: &DatabaseConfig) -> Result<String, String> {
    if let Target::Sqlite(file) = &config.target
        && !file.exists()
    {
        return Ok("will be created at the first start".to_owned());
    }
    let database = Database::lazy(config);
    let found = timeout(PATIENCE, schema::inspect(&database)).await;
    database.close().await;
    match found {
        Err(_) => Err(format!("the database did not answer within {} s", PATIENCE.as_secs())),
        Ok(Err(error)) => Err(chain(&error)),
        Ok(Ok(Inspection { schema, problem: None, .. })) => Ok(format!("version {}", schema.version)),
        // `serve` itself migrates an embedded database.
        Ok(Ok(Inspection { schema, is_migratable: true, .. }))
            if matches!(config.target, Target::Sqlite(_)) =>
        {
            Ok(format!("version {}, migrated at the next start", schema.version))
        }
        Ok(Ok(Inspection { problem: Some(problem), .. })) => Err(problem),
    }
}
