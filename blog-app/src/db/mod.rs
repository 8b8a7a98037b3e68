//! Connections to the database, their time limits, and the meaning of its errors.

mod connection_guard;
mod error_class;
mod mysql_login;
mod pool;
mod sqlite;
mod writes;

pub(crate) use self::connection_guard::{ConnectionGuard, acquire, acquire_checked};
pub(crate) use self::error_class::mysql_number;
pub use self::error_class::{
    column_error, is_connection_lost, is_login_outdated, is_nobody_there, is_out_of_space,
    is_password_refused, is_pool_timeout, is_read_only, is_refused, is_unavailable, loggable, server_problem,
};
pub use self::mysql_login::{MySql, RenewError};
pub(crate) use self::mysql_login::{close, connect};
pub use self::pool::{ACQUIRE_TIMEOUT, Database, STATEMENT_TIMEOUT};
pub use self::sqlite::Sqlite;
