//! Names of containers and directories that several steps use.

/// The container that serves the blog.
pub const APP_CONTAINER: &str = "blog";
/// The credential container beside MySQL.
pub const KEEPER: &str = "keeper";
/// The container of MySQL itself.
pub const MYSQL_CONTAINER: &str = "mysql";
/// Directory of the session keys in a replica.
pub const SESSION_KEYS: &str = "/etc/blog/session";
