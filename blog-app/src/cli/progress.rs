//! The progress of long commands, on standard error.

use std::time::Instant;

/// Tells on standard error how far long work is, at most once a second.
pub struct Progress {
    what: &'static str,
    started: Instant,
    told: Instant,
}

impl Progress {
    /// Of this work.
    #[must_use]
    pub fn new(what: &'static str) -> Self {
        let now = Instant::now();
        Self { what, started: now, told: now }
    }

    /// So many are done.
    pub fn at(&mut self, done: usize) {
        if self.told.elapsed().as_secs() >= 1 {
            self.told = Instant::now();
            eprintln!("[{:4.0} s] {} {done}", self.started.elapsed().as_secs_f64(), self.what);
        }
    }
}
