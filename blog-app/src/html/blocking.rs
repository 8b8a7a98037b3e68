//! Runs long CPU work on a few threads.
//!
//! Such work is rendering and compressing large pages.

use std::sync::Arc;

use thiserror::Error;
use tokio::sync::Semaphore;

/// Why work wasn't done.
#[derive(Debug, Error)]
pub enum Error {
    /// Too much work is waiting already.
    #[error("too many requests of this kind are under way")]
    Busy,
    /// The work panicked.
    #[error("failed to finish work in another thread")]
    Panicked,
}

/// Below this size, in bytes, work finishes sooner than another thread would begin it.
const SMALL: usize = 64 * 1024;
/// Parallel pieces of work, if the machine has as many processors.
const MOST_AT_ONCE: usize = 2;

/// A few threads for long work.
///
/// The request threads therefore never wait for it.
///
/// Clones share them.
#[derive(Clone)]
pub struct BlockingPool(Arc<Semaphore>);

impl Default for BlockingPool {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, Into::into);
        Self(Arc::new(Semaphore::new(processors.min(MOST_AT_ONCE))))
    }
}

impl BlockingPool {
    /// Runs the work on another thread, once one of the few permits is free.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let place = Arc::clone(&self.0).acquire_owned().await.map_err(|_| Error::Busy)?;
        let running = tokio::task::spawn_blocking(move || {
            let done = work();
            // Held to the end of the work, even if its request is gone.
            drop(place);
            done
        });
        running.await.map_err(|_| Error::Panicked)
    }

    /// Runs work on few bytes in place, else as [`Self::run`] does.
    pub async fn run_sized<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        if bytes <= SMALL { Ok(work()) } else { self.run(work).await }
    }
}
