//! Settings: as they are typed, what they mean, and what can be wrong with them.

mod args;
mod database;
mod error;
mod files;
pub mod tls;

pub use self::args::{DatabaseArgs, LogArgs, LogFormat, Markup, Registration, ServeArgs};
pub use self::database::{DatabaseConfig, Redacted, Rotation, Target};
pub use self::error::Error;
pub(crate) use self::files::{long_enough, read_bytes, read_optional};

/// Reads an environment variable.
///
/// A parameter, so that tests needn't change the real ones.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The process's environment.
///
/// An empty variable counts as unset, as manifests often leave them.
#[must_use]
pub fn process_env(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
