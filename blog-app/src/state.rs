//! What the handlers share.

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

/// What the handlers share.
pub struct AppState {
    /// The data.
    pub database: Database,
    /// The signed cookies.
    pub sessions: Sessions,
    /// The password hashes.
    pub passwords: Passwords,
    /// The site's name.
    pub site: Arc<Site>,
    /// The pages that are kept for readers.
    pub page_cache: PageCache,
    /// The texts of posts as HTML.
    pub markdown: MarkdownCache,
    /// Threads for work that takes long.
    pub pool: BlockingPool,
    /// The counters.
    pub metrics: Metrics,
    /// The spans of requests.
    pub traces: Traces,
    /// Room for large bodies.
    pub places: Places,
    /// Counts tries to log in.
    pub login_limiter: LoginLimiter,
    /// Bounds registrations.
    pub registration_limiter: RegistrationLimiter,
    /// The names that are taken.
    pub names: NameIndex,
    /// Who may say who the client is.
    pub proxies: TrustedProxies,
}

impl AppState {
    /// The blog's address as the deployer named it, else as the client did.
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

    /// Whether cookies are for connections with TLS only: a proxy that is trusted says so; or the client asked for the host of
    /// the blog's own https address, and no proxy says that it did so without TLS.
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
