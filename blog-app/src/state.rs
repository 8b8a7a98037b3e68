//! State that all handlers share.

use std::sync::Arc;

use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, header};

use crate::cache::page_cache::PageCache;
use crate::db::Database;
use crate::html::blocking::BlockingPool;
use crate::html::bodies::MarkdownCache;
use crate::html::layout::Site;
use crate::security::body_places::Places;
use crate::security::name_index::NameIndex;
use crate::security::password::Passwords;
use crate::security::rate_limit::{LoginLimiter, RegistrationLimiter};
use crate::security::session::Sessions;
use crate::security::trusted_proxies::{TrustedProxies, is_plain, is_secure};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::Traces;

/// State that all handlers share.
pub struct AppState {
    /// Connections to the database.
    pub database: Database,
    /// Signs and verifies the cookies.
    pub sessions: Sessions,
    /// Hashes and verifies passwords.
    pub passwords: Passwords,
    /// Title and settings of the site.
    pub site: Arc<Site>,
    /// Cached pages for readers.
    pub page_cache: PageCache,
    /// Cached HTML of the posts' Markdown.
    pub markdown: MarkdownCache,
    /// Threads for blocking work.
    pub pool: BlockingPool,
    /// Prometheus metrics.
    pub metrics: Metrics,
    /// Exports the spans of requests.
    pub traces: Traces,
    /// Permits for reading large bodies.
    pub places: Places,
    /// Limits failed logins.
    pub login_limiter: LoginLimiter,
    /// Limits registrations.
    pub registration_limiter: RegistrationLimiter,
    /// Index of the names in use.
    pub names: NameIndex,
    /// Proxies whose forwarding headers are trusted.
    pub proxies: TrustedProxies,
}

impl AppState {
    /// The blog's external address: the configured one, else the request's host.
    #[must_use]
    pub fn address(&self, headers: &HeaderMap) -> String {
        if let Some(address) = &self.site.address {
            return address.clone();
        }
        let host = headers.get(header::HOST).and_then(|value| value.to_str().ok());
        let host = host.and_then(|host| host.parse::<Authority>().ok());
        let scheme = if is_secure(headers) { "https" } else { "http" };
        host.map_or_else(|| "http://localhost".to_owned(), |host| format!("{scheme}://{host}"))
    }

    /// Whether cookies get the `Secure` attribute.
    ///
    /// They do if a trusted proxy reports TLS. They also do if the request's host is that of the configured https address,
    /// unless a proxy reports a connection without TLS.
    #[must_use]
    pub fn is_secure(&self, headers: &HeaderMap) -> bool {
        let own = self.site.address.as_deref().and_then(|address| address.strip_prefix("https://"));
        let own = own.and_then(|rest| rest.split('/').next());
        let asked = headers.get(header::HOST).map(HeaderValue::as_bytes);
        let at_home =
            own.is_some_and(|own| asked.is_some_and(|host| host.eq_ignore_ascii_case(own.as_bytes())));
        is_secure(headers) || (at_home && !is_plain(headers))
    }
}
