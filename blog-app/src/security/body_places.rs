//! How many large request bodies are held at once.

use std::sync::Arc;

use tokio::sync::Semaphore;

/// Larger ones need one of the few places for large bodies. Names and passwords at their longest are smaller.
pub const SMALL_BODY: usize = 16 * 1024;
/// Large enough for the longest body in its longest encoding: 65,536 characters of four bytes, each byte as `%XX`.
pub const LARGE_BODY: usize = 1024 * 1024;

/// The places for bodies that are larger than [`SMALL_BODY`].
pub struct Places {
    /// For members: with [`LARGE_BODY`] they take 32 MiB at most.
    pub members: Arc<Semaphore>,
    /// For everybody else, so that strangers never take a member's.
    pub strangers: Arc<Semaphore>,
    /// For bodies of members that are too long.
    pub oversize: Arc<Semaphore>,
}

impl Default for Places {
    fn default() -> Self {
        let places = |count| Arc::new(Semaphore::new(count));
        Self { members: places(MEMBERS), strangers: places(4), oversize: places(2) }
    }
}

/// Requests of members with large bodies that are under way at once.
pub const MEMBERS: usize = 32;
