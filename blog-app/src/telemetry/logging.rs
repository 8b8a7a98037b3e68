//! Logs on standard error, without secrets, names or texts.

use std::io::IsTerminal;

use thiserror::Error;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

use crate::config::LogFormat;

/// The filter in `BLOG_LOG` is invalid.
#[derive(Debug, Error)]
#[error("failed to read the log filter {filter:?}")]
pub struct InvalidFilter {
    filter: String,
    #[source]
    source: tracing_subscriber::filter::ParseError,
}

/// Sends logs to standard error.
///
/// Without a format, a terminal gets text and anything else JSON.
pub fn init(filter: &str, format: Option<LogFormat>) -> Result<(), InvalidFilter> {
    let parsed =
        EnvFilter::try_new(filter).map_err(|source| InvalidFilter { filter: filter.to_owned(), source })?;
    let terminal = std::io::stderr().is_terminal();
    let format = format.unwrap_or(if terminal { LogFormat::Text } else { LogFormat::Json });
    let builder = fmt().with_env_filter(parsed).with_writer(std::io::stderr).with_target(false);
    // A second subscriber is refused; that happens only in tests.
    let _ = match format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Text => builder.with_ansi(terminal).try_init(),
    };
    std::panic::set_hook(Box::new(|panic| {
        // The message may quote a user's text; the location is enough to find the bug.
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "panicked");
    }));
    Ok(())
}
