//! Work that takes long without waiting for anything: rendering and compressing large pages.

use std::sync::Arc;

use thiserror::Error;
use tokio::sync::Semaphore;

/// Why work wasn't done.
#[derive(Debug, Error)]
pub enum Error {
    /// Too much is under way already.
    #[error("too many requests of this kind are under way")]
    Busy,
    /// Work in another thread ended early, by a bug.
    #[error("failed to finish work in another thread")]
    Panicked,
}

/// Work on less text than this ends sooner than another thread would begin it, in bytes.
const SMALL: usize = 64 * 1024;
/// Pieces of work at once, if there are as many processors.
const MOST_AT_ONCE: usize = 2;

/// A few threads for such work, so that those of the requests never wait for it. Cloning shares them.
#[derive(Clone)]
pub struct BlockingPool(Arc<Semaphore>);

impl Default for BlockingPool {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, Into::into);
        Self(Arc::new(Semaphore::new(processors.min(MOST_AT_ONCE))))
    }
}

impl BlockingPool {
    /// Runs the work in another thread, when one of the few places is free.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let place = Arc::clone(&self.0).acquire_owned().await.map_err(|_| Error::Busy)?;
        let running = tokio::task::spawn_blocking(move || {
            let done = work();
            // Held to the end of the work, also if its request is gone.
            drop(place);
            done
        });
        running.await.map_err(|_| Error::Panicked)
    }

    /// Runs work on so many bytes here if they are few, else as [`Self::run`] does.
    pub async fn run_sized<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        if bytes <= SMALL { Ok(work()) } else { self.run(work).await }
    }
}
