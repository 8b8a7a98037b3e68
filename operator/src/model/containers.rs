//! Names of containers and directories that several steps use.

/// The container that serves the blog.
pub const APP_CONTAINER: &str = "blog";
/// The credential container beside MySQL.
pub const CREDENTIAL_SYNC: &str = "credential-sync";
/// Its name in pods of earlier builds.
pub const EARLIER_CREDENTIAL_SYNC: &str = "keeper";
/// The container of MySQL itself.
pub const MYSQL_CONTAINER: &str = "mysql";
/// Directory of the session keys in a replica.
pub const SESSION_KEYS: &str = "/etc/blog/session";

/// Whether a container is the credential container, by either name.
#[must_use]
pub fn is_credential_sync(name: &str) -> bool {
    [CREDENTIAL_SYNC, EARLIER_CREDENTIAL_SYNC].contains(&name)
}
