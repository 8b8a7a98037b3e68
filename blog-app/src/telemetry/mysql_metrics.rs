//! What MySQL says of itself, for whoever collects figures: asked when they are collected, a few seconds apart at most.

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

/// However many collect, the server is asked no more often.
const LIFETIME: Duration = Duration::from_secs(5);
/// Who collects waits no longer; the figures are left out then.
const PATIENCE: Duration = Duration::from_secs(2);

/// The figures as they were last told. Cloning shares them.
#[derive(Clone, Debug, Default)]
pub struct MysqlMetrics {
    known: Arc<Mutex<Vec<(StatusVariable, u64)>>>,
    /// Who asks during a question waits for its answer.
    asked: Arc<tokio::sync::Mutex<Option<Instant>>>,
}

impl MysqlMetrics {
    /// Asks the server, unless it was asked a moment ago. Of one that doesn't answer nothing is known any more: what it said
    /// before would look as if it still did.
    pub async fn refresh(&self, database: &Database) {
        let mut asked = self.asked.lock().await;
        if asked.is_some_and(|when| when.elapsed() < LIFETIME) {
            return;
        }
        let told = timeout(PATIENCE, status_variables(database)).await;
        *self.known.lock() = told.ok().and_then(Result::ok).unwrap_or_default();
        *asked = Some(Instant::now());
    }

    /// The server is away.
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
