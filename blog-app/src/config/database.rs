//! The database that the settings describe.
//!
//! Flags and `BLOG_…` variables come first, then the Flask original's variables, then SQLite. No message holds a secret.

use std::path::{Path, PathBuf};

use sqlx::ConnectOptions;
use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};

use super::files::{read_optional, read_text, text_of};
use super::tls::Tls;
use super::{DatabaseArgs, Env, Error};

const DEFAULT_FILE: &str = "flaskr.sqlite";
const MYSQL_PORT: u16 = 3306;
const PREVIOUS: &str = "BLOG_DATABASE_PREVIOUS_PASSWORD_FILE";

/// Location of the data.
#[derive(Clone, Debug)]
pub enum Target {
    /// A MySQL server.
    ///
    /// The options' `Debug` shows the password, so they are never printed.
    MySql(Redacted<Box<MySqlConnectOptions>>),
    /// A file of the embedded SQLite.
    Sqlite(PathBuf),
}

/// A value that stays out of logs.
#[derive(Clone)]
pub struct Redacted<T>(pub T);

impl<T> std::fmt::Debug for Redacted<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Location of the data, with the files whose secrets may change while running.
#[derive(Clone, Debug)]
pub struct DatabaseConfig {
    /// Current location and login.
    pub target: Target,
    /// A password change that may be in progress.
    pub rotation: Option<Rotation>,
    /// Protection of the connection.
    pub tls: Tls,
    base: Base,
}

/// Logins for changing a password.
#[derive(Clone, Debug)]
pub struct Rotation {
    /// The new password, which the target uses.
    pub new: Redacted<String>,
    /// The same target with the previous password.
    pub previous: Redacted<Box<MySqlConnectOptions>>,
}

/// Source from which the target is built on each reload.
#[derive(Clone, Debug)]
enum Base {
    /// Parts, with the password in a file.
    Parts(DatabaseArgs),
    /// A target that can't change.
    Fixed(Target),
}

impl DatabaseConfig {
    /// Interprets the settings.
    pub fn resolve(args: &DatabaseArgs, env: Env<'_>) -> Result<Self, Error> {
        let args = without_empty(args.clone());
        let tls = Tls::resolve(&args)?;
        let base = match (&args.database_url, first_part(&args)) {
            (Some(_), Some(part)) => return Err(Error::Both(part)),
            (Some(url), None) if tls.setting().is_some() && says_tls(url) => return Err(Error::TlsTwice),
            (Some(url), None) => Base::Fixed(from_url(url)?),
            (None, Some(_)) => Base::Parts(args),
            (None, None) => {
                Base::Fixed(from_original(env)?.unwrap_or_else(|| Target::Sqlite(DEFAULT_FILE.into())))
            }
        };
        Self::read(base, tls)
    }

    /// Repeats this with the files' current content.
    pub fn reload(&self) -> Result<Self, Error> {
        Self::read(self.base.clone(), self.tls.clone())
    }

    fn read(base: Base, tls: Tls) -> Result<Self, Error> {
        let (target, previous) = match &base {
            Base::Parts(args) => from_parts(args)?,
            Base::Fixed(target) => (target.clone(), None),
        };
        let target = match target {
            Target::MySql(Redacted(options)) => mysql(tls.protect(*options)?),
            Target::Sqlite(file) => match tls.setting() {
                Some(setting) => return Err(Error::NoServer(setting)),
                None => Target::Sqlite(file),
            },
        };
        let rotation = match (&target, previous) {
            (Target::MySql(Redacted(options)), Some((new, previous))) => {
                let previous = MySqlConnectOptions::clone(options).password(&previous);
                Some(Rotation { new: Redacted(new), previous: Redacted(Box::new(previous)) })
            }
            _ => None,
        };
        Ok(Self { target, rotation, tls, base })
    }

    /// The file's current password, if it comes from a file.
    pub fn password(&self) -> Result<Option<Redacted<String>>, Error> {
        let Base::Parts(args) = &self.base else { return Ok(None) };
        let file = args.database_password_file.as_deref();
        file.map(|file| read_text("BLOG_DATABASE_PASSWORD_FILE", file).map(Redacted)).transpose()
    }

    /// Files that a reload reads: passwords and CA certificates.
    #[must_use]
    pub fn files(&self) -> Vec<&Path> {
        let passwords = match &self.base {
            Base::Parts(args) => [&args.database_password_file, &args.database_previous_password_file],
            Base::Fixed(_) => [&None, &None],
        };
        passwords.into_iter().filter_map(Option::as_deref).chain(self.tls.ca_file()).collect()
    }
}

fn mysql(options: MySqlConnectOptions) -> Target {
    Target::MySql(Redacted(Box::new(options)))
}

/// Whether a URL has TLS parameters of its own, in any spelling.
fn says_tls(url: &str) -> bool {
    ["ssl-mode=", "sslmode=", "ssl-ca=", "sslca="].iter().any(|name| url.contains(name))
}

fn without_empty(mut args: DatabaseArgs) -> DatabaseArgs {
    let texts = [
        &mut args.database_url,
        &mut args.database_host,
        &mut args.database_port,
        &mut args.database_name,
        &mut args.database_user,
        &mut args.database_tls,
    ];
    for text in texts {
        *text = text.take().filter(|text| !text.is_empty());
    }
    // Kubernetes sets this name to a URL for a Service called `blog-database`.
    args.database_port = args.database_port.filter(|port| !port.contains("://"));
    let files = [
        &mut args.database_password_file,
        &mut args.database_previous_password_file,
        &mut args.database_ca_file,
    ];
    for file in files {
        *file = file.take().filter(|file| !file.as_os_str().is_empty());
    }
    args
}

fn first_part(args: &DatabaseArgs) -> Option<&'static str> {
    [
        ("BLOG_DATABASE_HOST", args.database_host.is_some()),
        ("BLOG_DATABASE_PORT", args.database_port.is_some()),
        ("BLOG_DATABASE_NAME", args.database_name.is_some()),
        ("BLOG_DATABASE_USER", args.database_user.is_some()),
        ("BLOG_DATABASE_PASSWORD_FILE", args.database_password_file.is_some()),
        (PREVIOUS, args.database_previous_password_file.is_some()),
    ]
    .into_iter()
    .find_map(|(name, set)| set.then_some(name))
}

fn from_url(url: &str) -> Result<Target, Error> {
    if let Some(file) = url.strip_prefix("sqlite:") {
        let file = file.strip_prefix("//").unwrap_or(file);
        let file = file.split('?').next().unwrap_or(file);
        return match file {
            "" | ":memory:" => Err(Error::InMemory),
            file => Ok(Target::Sqlite(file.into())),
        };
    }
    if !url.starts_with("mysql://") {
        return Err(Error::Url);
    }
    // The parser's own message may quote the URL, and with it the password.
    let options: MySqlConnectOptions = url.parse().map_err(|_| Error::Url)?;
    if options.get_database().is_none() {
        return Err(Error::Url);
    }
    Ok(mysql(mysql_options(options)))
}

/// Builds the target, with both passwords if a rotation may be in progress.
fn from_parts(args: &DatabaseArgs) -> Result<(Target, Option<(String, String)>), Error> {
    let set = first_part(args).unwrap_or("BLOG_DATABASE_HOST");
    let needed = |value: &Option<String>, missing| value.clone().ok_or(Error::Missing { set, missing });
    let host = needed(&args.database_host, "BLOG_DATABASE_HOST")?;
    let name = needed(&args.database_name, "BLOG_DATABASE_NAME")?;
    let user = needed(&args.database_user, "BLOG_DATABASE_USER")?;
    let missing = "BLOG_DATABASE_PASSWORD_FILE";
    let file = args.database_password_file.as_deref().ok_or(Error::Missing { set, missing })?;
    let port = port("BLOG_DATABASE_PORT", args.database_port.as_deref())?;
    let password = read_text("BLOG_DATABASE_PASSWORD_FILE", file)?;
    let target = mysql(mysql_parts(&host, port, &name, &user, &password));
    let previous = match &args.database_previous_password_file {
        Some(file) => read_optional(PREVIOUS, file)?.map(|bytes| text_of(PREVIOUS, bytes)).transpose()?,
        None => None,
    };
    Ok((target, previous.filter(|previous| *previous != password).map(|previous| (password, previous))))
}

/// Builds the target from the Flask original's variables.
///
/// Kubernetes sets the port's name too, to a URL, for a Service called `mysql`; such a value is ignored.
fn from_original(env: Env<'_>) -> Result<Option<Target>, Error> {
    const NAMES: [&str; 4] = ["MYSQL_HOSTNAME", "MYSQL_DB_NAME", "MYSQL_FLASK_USER", "MYSQL_FLASK_PASSWORD"];
    let Some(set) = NAMES.into_iter().find(|name| env(name).is_some()) else { return Ok(None) };
    let needed = |missing| env(missing).ok_or(Error::Missing { set, missing });
    let [host, name, user, password] = NAMES.map(needed);
    let given = env("MYSQL_PORT").filter(|port| !port.contains("://"));
    let port = port("MYSQL_PORT", given.as_deref())?;
    Ok(Some(mysql(mysql_parts(&host?, port, &name?, &user?, &password?))))
}

fn port(setting: &'static str, text: Option<&str>) -> Result<u16, Error> {
    let port = text.map_or(Ok(MYSQL_PORT), str::parse).map_err(|_| Error::Port(setting))?;
    if port == 0 { Err(Error::Port(setting)) } else { Ok(port) }
}

/// Options that every MySQL connection shares, wherever its settings come from.
#[must_use]
pub fn mysql_options(base: MySqlConnectOptions) -> MySqlConnectOptions {
    base.charset("utf8mb4")
        .timezone(Some("+00:00".to_owned()))
        .pipes_as_concat(false)
        .no_engine_substitution(false)
        .disable_statement_logging()
}

/// Options for a server given by its parts.
///
/// TLS is used if the server offers it.
#[must_use]
pub fn mysql_parts(host: &str, port: u16, name: &str, user: &str, password: &str) -> MySqlConnectOptions {
    let base = MySqlConnectOptions::new().host(host).port(port).database(name).username(user);
    mysql_options(base.password(password).ssl_mode(MySqlSslMode::Preferred))
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
