//! Bounds how many large request bodies are held at once.

use std::sync::Arc;

use tokio::sync::Semaphore;

/// Largest body that needs no permit, in bytes.
///
/// A form with the longest name and password is smaller.
pub const SMALL_BODY: usize = 16 * 1024;
/// Largest body of a post, in bytes.
///
/// It holds the longest text in its longest encoding: 65,536 characters of four bytes, each byte as `%XX`.
pub const LARGE_BODY: usize = 1024 * 1024;

/// Permits for bodies larger than [`SMALL_BODY`].
pub struct Places {
    /// For members: with [`LARGE_BODY`] they take 32 MiB at most.
    pub members: Arc<Semaphore>,
    /// For anonymous requests, so that these never take a member's permit.
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

/// Requests of members with large bodies at the same time.
pub const MEMBERS: usize = 32;
