//! MySQL's own metrics, read on a scrape, but at most every few seconds.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use tokio::time::timeout;

use parking_lot::Mutex;

use crate::db::Database;
use crate::store::mysql_status::{StatusVariable, status_variables};

/// Shortest interval between two queries, however many scrapers there are.
const LIFETIME: Duration = Duration::from_secs(5);
/// Time limit of a query during a scrape.
///
/// After it these metrics are left out.
const PATIENCE: Duration = Duration::from_secs(2);

/// The last values. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct MysqlMetrics {
    known: Arc<Mutex<Vec<(StatusVariable, u64)>>>,
    /// Time of the last query; concurrent scrapes wait for its result.
    asked: Arc<tokio::sync::Mutex<Option<Instant>>>,
}

impl MysqlMetrics {
    /// Queries the server, unless that was done a moment ago.
    ///
    /// If it doesn't answer, the old values are dropped, since they would appear current.
    pub async fn refresh(&self, database: &Database) {
        let mut asked = self.asked.lock().await;
        if asked.is_some_and(|when| when.elapsed() < LIFETIME) {
            return;
        }
        let told = timeout(PATIENCE, status_variables(database)).await;
        *self.known.lock() = told.ok().and_then(Result::ok).unwrap_or_default();
        *asked = Some(Instant::now());
    }

    /// Drops the values: the server is unavailable.
    pub fn forget(&self) {
        self.known.lock().clear();
    }
}

impl Collector for MysqlMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for (figure, value) in self.known.lock().iter() {
            if figure.counts {
                encode(&mut encoder, figure, &ConstCounter::new(*value))?;
            } else {
                encode(&mut encoder, figure, &ConstGauge::new(i64::try_from(*value).unwrap_or(i64::MAX)))?;
            }
        }
        Ok(())
    }
}

fn encode(
    encoder: &mut DescriptorEncoder<'_>,
    figure: &StatusVariable,
    metric: &impl EncodeMetric,
) -> Result<(), fmt::Error> {
    let name = format!("mysql_{}", figure.metric);
    metric.encode(encoder.encode_descriptor(&name, figure.help, None, metric.metric_type())?)
}
