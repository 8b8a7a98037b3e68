//! Tracks whether the database accepts writes, as the writes themselves found out.

use parking_lot::Mutex;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::is_out_of_space;

/// Interval of trial writes while writes fail for lack of space.
const TRIAL_INTERVAL: Duration = Duration::from_secs(10);

/// The last failure of writes, until one succeeds. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Writes(Arc<Mutex<Option<Trouble>>>);

#[derive(Clone, Debug)]
struct Trouble {
    cause: String,
    tried: Instant,
}

impl Writes {
    /// Records a write that failed for lack of space.
    ///
    /// A write that succeeds clears it.
    pub(crate) fn observe<T>(&self, outcome: &sqlx::Result<T>) {
        match outcome {
            Ok(_) => self.forget(),
            Err(error) if is_out_of_space(error) => self.remember(super::loggable(error)),
            Err(_) => {}
        }
    }

    /// Records that writes fail.
    pub(crate) fn remember(&self, cause: String) {
        *self.lock() = Some(Trouble { cause, tried: Instant::now() });
    }

    /// Clears the failure after a write that succeeded.
    pub(crate) fn forget(&self) {
        *self.lock() = None;
    }

    /// Why writes fail, and whether a trial write is due.
    pub(crate) fn trouble(&self) -> Option<(String, bool)> {
        let trouble = self.lock().clone()?;
        Some((trouble.cause, trouble.tried.elapsed() >= TRIAL_INTERVAL))
    }

    fn lock(&self) -> parking_lot::MutexGuard<'_, Option<Trouble>> {
        self.0.lock()
    }
}
