//! What MySQL says of itself; every account may ask.

use sqlx::query_as;

use super::{Error, query_with_retry};
use crate::db::Database;

/// A status of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusVariable {
    /// Its name in MySQL.
    pub variable: &'static str,
    /// Its name for Prometheus, after `blog_mysql_`.
    pub metric: &'static str,
    /// What it is.
    pub help: &'static str,
    /// It only grows, until the server starts anew.
    pub counts: bool,
}

const fn gauge(variable: &'static str, metric: &'static str, help: &'static str) -> StatusVariable {
    StatusVariable { variable, metric, help, counts: false }
}

const fn counter(variable: &'static str, metric: &'static str, help: &'static str) -> StatusVariable {
    StatusVariable { variable, metric, help, counts: true }
}

/// Those that tell how the server does; it has hundreds.
pub const FIGURES: [StatusVariable; 8] = [
    gauge("Uptime", "uptime_seconds", "Seconds since MySQL started"),
    gauge("Threads_connected", "threads_connected", "Connections that are open, of everybody"),
    gauge("Threads_running", "threads_running", "Connections that are at work"),
    counter("Questions", "questions", "Statements that clients sent"),
    counter("Slow_queries", "slow_queries", "Statements that took longer than long_query_time"),
    counter(
        "Aborted_connects",
        "aborted_connects",
        "Connections that failed, by a wrong password for example",
    ),
    counter("Innodb_buffer_pool_read_requests", "innodb_buffer_pool_read_requests", "Pages wanted"),
    counter("Innodb_buffer_pool_reads", "innodb_buffer_pool_reads", "Pages that had to be read from disk"),
];

const STATUS: &str = "SHOW GLOBAL STATUS WHERE Variable_name IN ('Uptime', 'Threads_connected', 'Threads_running', \
    'Questions', 'Slow_queries', 'Aborted_connects', 'Innodb_buffer_pool_read_requests', 'Innodb_buffer_pool_reads')";

/// The figures of a MySQL; of SQLite there are none.
///
/// # Errors
/// When the server doesn't answer.
pub async fn status_variables(database: &Database) -> Result<Vec<(StatusVariable, u64)>, Error> {
    let Database::MySql(_) = database else { return Ok(Vec::new()) };
    let rows = query_with_retry!("read the server's status", database, connection =>
        query_as::<_, (String, String)>(STATUS).fetch_all(connection))?;
    let value = |figure: &StatusVariable| {
        let row = rows.iter().find(|(name, _)| name.eq_ignore_ascii_case(figure.variable))?;
        Some((*figure, row.1.parse().ok()?))
    };
    Ok(FIGURES.iter().filter_map(value).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statement_asks_for_every_figure() {
        for figure in FIGURES {
            assert!(STATUS.contains(&format!("'{}'", figure.variable)), "{figure:?}");
        }
        assert_eq!(STATUS.matches('\'').count(), 2 * FIGURES.len());
    }
}
