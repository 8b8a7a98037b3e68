//! Errors in the settings.

use std::io;
use std::path::PathBuf;

/// Shortest session key, in bytes; shorter ones can be guessed.
pub(super) const SHORTEST_KEY: usize = 32;

/// What is wrong with the settings.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Both a URL and parts are set.
    #[error("BLOG_DATABASE_URL and {0} are both set: set the URL, or the parts without the URL")]
    Both(&'static str),
    /// Some parts are set, but not this one.
    #[error("{set} is set but {missing} is not: set both, or none for a blog on SQLite")]
    Missing {
        /// A setting that is set.
        set: &'static str,
        /// A setting that is missing.
        missing: &'static str,
    },
    /// The port is invalid.
    #[error("{0} must be a port number from 1 to 65535")]
    Port(&'static str),
    /// The URL is invalid or has an unknown scheme.
    #[error("BLOG_DATABASE_URL must look like mysql://USER:PASSWORD@HOST:3306/NAME or sqlite:FILE")]
    Url,
    /// In-memory databases differ from connection to connection.
    #[error("BLOG_DATABASE_URL must name a file: an in-memory database would be gone with its connection")]
    InMemory,
    /// The TLS mode is unknown.
    #[error("BLOG_DATABASE_TLS must be Disabled, Preferred, Required, VerifyCa or VerifyIdentity")]
    TlsMode,
    /// The mode verifies, but no certificates are configured.
    #[error(
        "BLOG_DATABASE_TLS is VerifyCa but BLOG_DATABASE_CA_FILE is not set: set it to a file with the certificate of the server's issuer"
    )]
    NoCa,
    /// The mode verifies, but the system has no certificates either.
    #[error(
        "BLOG_DATABASE_TLS is VerifyIdentity, but this system has no certificates to verify by: set BLOG_DATABASE_CA_FILE to a file with the certificate of the server's issuer"
    )]
    NoRoots,
    /// A CA file is set, but the mode doesn't use it.
    #[error(
        "BLOG_DATABASE_CA_FILE is set, but without BLOG_DATABASE_TLS=VerifyCa or VerifyIdentity nothing is verified by it: set one of the two, or no file"
    )]
    CaUnused,
    /// URL and setting contradict each other.
    #[error(
        "BLOG_DATABASE_URL and BLOG_DATABASE_TLS both configure TLS: leave ssl-mode and ssl-ca out of the URL"
    )]
    TlsTwice,
    /// TLS is set for a file, which has no server.
    #[error(
        "{0} is set, but the blog is on SQLite, where nothing is sent over a network: unset it, or set a MySQL server"
    )]
    NoServer(&'static str),
    /// The CA file is empty or not PEM.
    #[error("BLOG_DATABASE_CA_FILE ({}) must hold one or more certificates in PEM form and nothing broken", .0.display())]
    NoCertificates(PathBuf),
    /// A file can't be read.
    #[error("failed to read {setting} ({})", path.display())]
    Read {
        /// The setting that names the file.
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
    /// The key is too short.
    #[error("the session key in {} has {found} bytes: write at least {SHORTEST_KEY} random ones", path.display())]
    ShortKey {
        /// The file.
        path: PathBuf,
        /// Its length.
        found: usize,
    },
    /// Several replicas on MySQL need one key.
    #[error(
        "no session key: set BLOG_SESSION_KEY_FILE to a file with at least {SHORTEST_KEY} random bytes, the same for every replica (or FLASK_APP_SECRET_KEY)"
    )]
    NoKey,
    /// The key beside the SQLite file can't be created.
    #[error("failed to store a new session key in {}", path.display())]
    StoreKey {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}
