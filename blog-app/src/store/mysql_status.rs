//! Status variables of MySQL, which every account may read.

use sqlx::query_as;

use super::{Error, query_with_retry};
use crate::db::Database;

/// A status variable of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusVariable {
    /// Its name in MySQL.
    pub variable: &'static str,
    /// Its metric's name, after `blog_mysql_`.
    pub metric: &'static str,
    /// Help text of the metric.
    pub help: &'static str,
    /// Whether it is a counter, which only grows until the server restarts.
    pub counts: bool,
}

const fn gauge(variable: &'static str, metric: &'static str, help: &'static str) -> StatusVariable {
    StatusVariable { variable, metric, help, counts: false }
}

const fn counter(variable: &'static str, metric: &'static str, help: &'static str) -> StatusVariable {
    StatusVariable { variable, metric, help, counts: true }
}

/// The few of MySQL's hundreds of variables that show the server's health.
pub const FIGURES: [StatusVariable; 8] = [
    gauge("Uptime", "uptime_seconds", "Seconds since MySQL started"),
    gauge("Threads_connected", "threads_connected", "Open connections of all clients"),
    gauge("Threads_running", "threads_running", "Connections that run a statement"),
    counter("Questions", "questions", "Statements that clients sent"),
    counter("Slow_queries", "slow_queries", "Statements that took longer than long_query_time"),
    counter("Aborted_connects", "aborted_connects", "Failed connections, for example by a wrong password"),
    counter("Innodb_buffer_pool_read_requests", "innodb_buffer_pool_read_requests", "Pages requested"),
    counter("Innodb_buffer_pool_reads", "innodb_buffer_pool_reads", "Pages read from disk"),
];

const STATUS: &str = "SHOW GLOBAL STATUS WHERE Variable_name IN ('Uptime', 'Threads_connected', 'Threads_running', \
    'Questions', 'Slow_queries', 'Aborted_connects', 'Innodb_buffer_pool_read_requests', 'Innodb_buffer_pool_reads')";

/// Reads MySQL's status variables; none for SQLite.
///
/// # Errors
///
/// Fails if the server doesn't answer.
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
