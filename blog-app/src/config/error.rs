//! What can be wrong with the settings.

use std::io;
use std::path::PathBuf;

/// Fewer bytes of a key can be guessed.
pub(super) const SHORTEST_KEY: usize = 32;

/// What is wrong with the settings.
#[derive(Debug, thiserror::Error)]
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
