//! Progress of long commands, on standard error.

use std::time::Instant;

/// Prints the progress of long work to standard error, at most once a second.
pub struct Progress {
    what: &'static str,
    started: Instant,
    told: Instant,
}

impl Progress {
    /// Starts the progress of this work.
    #[must_use]
    pub fn new(what: &'static str) -> Self {
        let now = Instant::now();
        Self { what, started: now, told: now }
    }

    /// Reports the number of finished items.
    pub fn at(&mut self, done: usize) {
        if self.told.elapsed().as_secs() >= 1 {
            self.told = Instant::now();
            eprintln!("[{:4.0} s] {} {done}", self.started.elapsed().as_secs_f64(), self.what);
        }
    }
}
