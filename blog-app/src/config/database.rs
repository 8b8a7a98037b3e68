//! The meaning of the settings: flags and `BLOG_…` variables first, then the Flask original's variables, then SQLite.
//! No message here holds a secret.

use std::io;
use std::path::{Path, PathBuf};

use sqlx::mysql::MySqlConnectOptions;
use thiserror::Error;

use crate::cli::commands::DatabaseArgs;
use crate::config::tls::Tls;
use crate::db::{self, Redacted, Target};

const DEFAULT_FILE: &str = "flaskr.sqlite";
const MYSQL_PORT: u16 = 3306;
const PREVIOUS: &str = "BLOG_DATABASE_PREVIOUS_PASSWORD_FILE";
const SHORTEST_KEY: usize = 32;

/// What is wrong with the settings.
#[derive(Debug, Error)]
pub enum Error {
    /// A URL and parts.
    #[error("BLOG_DATABASE_URL and {0} are both set: set the URL, or the parts without the URL")]
    Both(&'static str),
    /// Some parts are set, this one isn't.
    #[error("{set} is set but {missing} is not: set both, or none for a blog on SQLite")]
    Missing {
        /// One that is set.
        set: &'static str,
        /// One that isn't.
        missing: &'static str,
    },
    /// The port is none.
    #[error("{0} must be a port number from 1 to 65535")]
    Port(&'static str),
    /// The URL is of another kind, or not one.
    #[error("BLOG_DATABASE_URL must look like mysql://USER:PASSWORD@HOST:3306/NAME or sqlite:FILE")]
    Url,
    /// In-memory databases differ from connection to connection.
    #[error("BLOG_DATABASE_URL must name a file: an in-memory database would be gone with its connection")]
    InMemory,
    /// No such mode.
    #[error("BLOG_DATABASE_TLS must be Disabled, Preferred, Required, VerifyCa or VerifyIdentity")]
    TlsMode,
    /// Nothing to verify by.
    #[error(
        "BLOG_DATABASE_TLS is VerifyCa but BLOG_DATABASE_CA_FILE is not set: set it to a file with the certificate of the server's issuer"
    )]
    NoCa,
    /// Nothing to verify by on this system either.
    #[error(
        "BLOG_DATABASE_TLS is VerifyIdentity, but this system has no certificates to verify by: set BLOG_DATABASE_CA_FILE to a file with the certificate of the server's issuer"
    )]
    NoRoots,
    /// A file that nobody would look into.
    #[error(
        "BLOG_DATABASE_CA_FILE is set, but without BLOG_DATABASE_TLS=VerifyCa or VerifyIdentity nothing is verified by it: set one of the two, or no file"
    )]
    CaUnused,
    /// The URL says one thing and the setting another.
    #[error(
        "BLOG_DATABASE_URL and BLOG_DATABASE_TLS both say how to use TLS: leave ssl-mode and ssl-ca out of the URL"
    )]
    TlsTwice,
    /// A file has no server.
    #[error(
        "{0} is set, but the blog is on SQLite, where nothing is sent over a network: unset it, or set a MySQL server"
    )]
    NoServer(&'static str),
    /// Not PEM, or nothing in it.
    #[error("BLOG_DATABASE_CA_FILE ({}) must hold one or more certificates in PEM form and nothing broken", .0.display())]
    NoCertificates(PathBuf),
    /// A file can't be read.
    #[error("failed to read {setting} ({})", path.display())]
    Read {
        /// The setting that names it.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A secret isn't text.
    #[error("{0} must be UTF-8 text")]
    NotText(&'static str),
    /// The key is guessable.
    #[error("the session key in {} has {found} bytes: write at least {SHORTEST_KEY} random ones", path.display())]
    ShortKey {
        /// The file.
        path: PathBuf,
        /// Its length.
        found: usize,
    },
    /// On MySQL several replicas must agree on a key.
    #[error(
        "no session key: set BLOG_SESSION_KEY_FILE to a file with at least {SHORTEST_KEY} random bytes, the same for every replica (or FLASK_APP_SECRET_KEY)"
    )]
    NoKey,
    /// The key beside the SQLite file can't be made.
    #[error("failed to store a new session key in {}", path.display())]
    StoreKey {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Reads a variable of the environment; a parameter, so that tests need not change the real one.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The process's environment. An empty variable counts as none, as manifests often leave them.
#[must_use]
pub fn process_env(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Where the data is, and in which files that may change under us the secrets are.
#[derive(Clone, Debug)]
pub struct DatabaseConfig {
    /// The database.
    pub target: Target,
    /// A change of the password that may be under way.
    pub rotation: Option<Rotation>,
    /// How the way there is protected.
    pub tls: Tls,
    base: Base,
}

/// What there is to change a password with.
#[derive(Clone, Debug)]
pub struct Rotation {
    /// The new password, which is the target's.
    pub new: Redacted<String>,
    /// The same target with the password before.
    pub previous: Redacted<Box<MySqlConnectOptions>>,
}

/// What the target is made of, again and again.
#[derive(Clone, Debug)]
enum Base {
    /// The parts, with a password in a file.
    Parts(DatabaseArgs),
    /// Said once for all.
    Fixed(Target),
}

impl DatabaseConfig {
    /// Finds out what is meant.
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

    /// The same again, with what the files hold now.
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

    /// The password that the file holds now, if it comes from one.
    pub fn password(&self) -> Result<Option<Redacted<String>>, Error> {
        let Base::Parts(args) = &self.base else { return Ok(None) };
        let file = args.database_password_file.as_deref();
        file.map(|file| read_text("BLOG_DATABASE_PASSWORD_FILE", file).map(Redacted)).transpose()
    }

    /// The files whose change means other secrets, or other certificates to trust.
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

/// Whether a URL has parameters of its own for it, in one of their spellings.
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
    // Kubernetes sets this name, to a URL, for a Service called `blog-database`.
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
    Ok(mysql(db::mysql_options(options)))
}

/// The target, and the new password with the one before it if a rotation may be under way.
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
    let target = mysql(db::mysql_parts(&host, port, &name, &user, &password));
    let previous = match &args.database_previous_password_file {
        Some(file) => read_optional(PREVIOUS, file)?.map(|bytes| text_of(PREVIOUS, bytes)).transpose()?,
        None => None,
    };
    Ok((target, previous.filter(|previous| *previous != password).map(|previous| (password, previous))))
}

/// The variables of the Flask original. The port's name is also one that Kubernetes sets for a Service called `mysql`,
/// to a URL; that isn't meant for us.
fn from_original(env: Env<'_>) -> Result<Option<Target>, Error> {
    const NAMES: [&str; 4] = ["MYSQL_HOSTNAME", "MYSQL_DB_NAME", "MYSQL_FLASK_USER", "MYSQL_FLASK_PASSWORD"];
    let Some(set) = NAMES.into_iter().find(|name| env(name).is_some()) else { return Ok(None) };
    let needed = |missing| env(missing).ok_or(Error::Missing { set, missing });
    let [host, name, user, password] = NAMES.map(needed);
    let given = env("MYSQL_PORT").filter(|port| !port.contains("://"));
    let port = port("MYSQL_PORT", given.as_deref())?;
    Ok(Some(mysql(db::mysql_parts(&host?, port, &name?, &user?, &password?))))
}

fn port(setting: &'static str, text: Option<&str>) -> Result<u16, Error> {
    let port = text.map_or(Ok(MYSQL_PORT), str::parse).map_err(|_| Error::Port(setting))?;
    if port == 0 { Err(Error::Port(setting)) } else { Ok(port) }
}

/// A secret from a file, without the line break that editors add.
fn read_text(setting: &'static str, path: &Path) -> Result<String, Error> {
    text_of(setting, read_bytes(setting, path)?)
}

fn text_of(setting: &'static str, bytes: Vec<u8>) -> Result<String, Error> {
    let text = String::from_utf8(bytes).map_err(|_| Error::NotText(setting))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

pub(crate) fn read_bytes(setting: &'static str, path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|source| Error::Read { setting, path: path.to_owned(), source })
}

/// Before the first rotation there is nothing previous: the file is missing or empty.
pub(crate) fn read_optional(setting: &'static str, path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes).filter(|bytes| !bytes.is_empty())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Read { setting, path: path.to_owned(), source }),
    }
}

/// Refuses keys that can be guessed.
pub(crate) fn long_enough(path: &Path, key: Vec<u8>) -> Result<Vec<u8>, Error> {
    if key.len() < SHORTEST_KEY {
        return Err(Error::ShortKey { path: path.to_owned(), found: key.len() });
    }
    Ok(key)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
