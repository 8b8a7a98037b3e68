//! What the settings mean.

mod database;
pub mod tls;

pub use self::database::{DatabaseConfig, Env, Error, Rotation, process_env};
pub(crate) use self::database::{long_enough, read_bytes, read_optional};
