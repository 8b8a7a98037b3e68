//! Whether the database takes writes, as the writes themselves found out.

use parking_lot::Mutex;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::is_out_of_space;

/// While writes fail for lack of space, a trial is made no more often.
const TRIAL_INTERVAL: Duration = Duration::from_secs(10);

/// The last trouble with writes, until one succeeds. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Writes(Arc<Mutex<Option<Trouble>>>);

#[derive(Clone, Debug)]
struct Trouble {
    cause: String,
    tried: Instant,
}

impl Writes {
    /// Remembers a write that failed for lack of space, and forgets it when one succeeds.
    pub(crate) fn observe<T>(&self, outcome: &sqlx::Result<T>) {
        match outcome {
            Ok(_) => self.forget(),
            Err(error) if is_out_of_space(error) => self.remember(super::loggable(error)),
            Err(_) => {}
        }
    }

    /// Remembers that writes fail.
    pub(crate) fn remember(&self, cause: String) {
        *self.lock() = Some(Trouble { cause, tried: Instant::now() });
    }

    /// A write succeeded.
    pub(crate) fn forget(&self) {
        *self.lock() = None;
    }

    /// Why writes fail, and whether it is time for a trial.
    pub(crate) fn trouble(&self) -> Option<(String, bool)> {
        let trouble = self.lock().clone()?;
        Some((trouble.cause, trouble.tried.elapsed() >= TRIAL_INTERVAL))
    }

    fn lock(&self) -> parking_lot::MutexGuard<'_, Option<Trouble>> {
        self.0.lock()
    }
}
