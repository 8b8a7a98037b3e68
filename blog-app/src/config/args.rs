//! Settings as they are typed: flags and environment variables.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use ipnet::IpNet;

/// Settings of `serve`.
#[derive(Args, Clone, Debug)]
pub struct ServeArgs {
    /// Address of the blog.
    #[arg(long, env = "BLOG_LISTEN", default_value = "0.0.0.0:5000", value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// Address of /healthz, /readyz and /metrics.
    #[arg(long, env = "BLOG_ADMIN_LISTEN", default_value = "0.0.0.0:9090", value_name = "ADDRESS")]
    pub admin_listen: SocketAddr,
    /// Title of the site.
    #[arg(long, env = "BLOG_TITLE", default_value = "Flaskr",
          value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub title: String,
    /// Whether new users may register.
    #[arg(long, env = "BLOG_REGISTRATION", value_enum, ignore_case = true, default_value = "open")]
    pub registration: Registration,
    /// Format of the posts' texts.
    #[arg(long, env = "BLOG_MARKUP", value_enum, ignore_case = true, default_value = "plain")]
    pub markup: Markup,
    /// External address, for the feed and for the cookies' Secure attribute [default: the request's host].
    #[arg(long, env = "BLOG_ADDRESS", value_parser = address, value_name = "URL")]
    pub address: Option<String>,
    /// File with the secret that signs session cookies, at least 32 bytes.
    #[arg(long, env = "BLOG_SESSION_KEY_FILE", value_name = "FILE")]
    pub session_key_file: Option<PathBuf>,
    /// File with the secret before the last rotation; may be missing or empty.
    #[arg(long, env = "BLOG_SESSION_PREVIOUS_KEY_FILE", value_name = "FILE")]
    pub session_previous_key_file: Option<PathBuf>,
    /// How long to keep serving, while not ready, after SIGTERM; SIGINT (Ctrl-C) ends this at once.
    #[arg(long, env = "BLOG_DRAIN_SECONDS", default_value_t = 5, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(..=3600))]
    pub drain_seconds: u64,
    /// Networks of trusted proxies, whose X-Forwarded-For and X-Forwarded-Proto are used.
    #[arg(long, env = "BLOG_TRUSTED_PROXIES", value_name = "CIDR", value_delimiter = ',')]
    pub trusted_proxies: Vec<IpNet>,
    /// Registrations per minute; 0 means no limit.
    #[arg(long, env = "BLOG_REGISTRATIONS_PER_MINUTE", value_name = "NUMBER", default_value_t = 30)]
    pub registrations_per_minute: u32,
    /// Trust X-Forwarded-* from any peer. Use only if nothing but the proxy can connect.
    #[arg(long, env = "BLOG_TRUST_PROXY", value_name = "BOOL", default_value_t = false,
          num_args = 0..=1, default_missing_value = "true", value_parser = clap::builder::BoolishValueParser::new(), action = clap::ArgAction::Set)]
    pub trust_proxy: bool,
    /// The database.
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// The log.
    #[command(flatten)]
    pub log: LogArgs,
}

/// Whether new users may register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Registration {
    /// Every visitor may register.
    Open,
    /// No registration; `blog-app user add` creates users.
    Closed,
}

/// Format of the posts' texts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Markup {
    /// Plain text, shown with its line breaks, as in Flaskr.
    #[default]
    Plain,
    /// Markdown (CommonMark with tables and strikethrough). HTML in it is not passed on.
    Markdown,
}

/// Format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// Text for terminals.
    Text,
}

/// Database: a URL, or the parts of a MySQL account, or the original's variables, or ./flaskr.sqlite.
#[derive(Args, Clone, Debug, Default)]
pub struct DatabaseArgs {
    /// mysql://USER:PASSWORD@HOST:PORT/NAME or sqlite:FILE.
    #[arg(long, env = "BLOG_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: Option<String>,
    /// Host of MySQL.
    #[arg(long, env = "BLOG_DATABASE_HOST", value_name = "HOST")]
    pub database_host: Option<String>,
    /// Port of MySQL [default: 3306].
    #[arg(long, env = "BLOG_DATABASE_PORT", value_name = "PORT")]
    pub database_port: Option<String>,
    /// Name of the database.
    #[arg(long, env = "BLOG_DATABASE_NAME", value_name = "NAME")]
    pub database_name: Option<String>,
    /// User of the MySQL account.
    #[arg(long, env = "BLOG_DATABASE_USER", value_name = "USER")]
    pub database_user: Option<String>,
    /// File with the account's password.
    #[arg(long, env = "BLOG_DATABASE_PASSWORD_FILE", value_name = "FILE")]
    pub database_password_file: Option<PathBuf>,
    /// File with the previous password while a new one is being introduced; may be missing or empty.
    #[arg(long, env = "BLOG_DATABASE_PREVIOUS_PASSWORD_FILE", value_name = "FILE")]
    pub database_previous_password_file: Option<PathBuf>,
    /// TLS: Disabled, Preferred, Required, VerifyCa or VerifyIdentity [default: Preferred].
    #[arg(long, env = "BLOG_DATABASE_TLS", value_name = "MODE")]
    pub database_tls: Option<String>,
    /// PEM file with the CA certificates used to verify the server; several may be in it, for a rotation with overlap.
    #[arg(long, env = "BLOG_DATABASE_CA_FILE", value_name = "FILE")]
    pub database_ca_file: Option<PathBuf>,
}

/// Settings of the log.
#[derive(Args, Clone, Debug)]
pub struct LogArgs {
    /// What to log, for example `debug` or `info,sqlx=debug`.
    #[arg(long = "log", env = "BLOG_LOG", default_value = "info", value_name = "FILTER")]
    pub filter: String,
    /// Format of log lines [default: text on a terminal, json otherwise].
    #[arg(long = "log-format", env = "BLOG_LOG_FORMAT", value_name = "FORMAT")]
    pub format: Option<LogFormat>,
}

/// Parses an address like `https://blog.example.org`, without a trailing slash.
fn address(text: &str) -> Result<String, String> {
    let wanted = || "write an address like https://blog.example.org".to_owned();
    let uri: axum::http::Uri = text.parse().map_err(|_| wanted())?;
    let known = matches!(uri.scheme_str(), Some("http" | "https"));
    if !known || uri.authority().is_none() || uri.query().is_some() {
        return Err(wanted());
    }
    Ok(text.trim_end_matches('/').to_owned())
}
