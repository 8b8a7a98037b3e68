//! Connections to a file of the embedded SQLite.

use sqlx::sqlite::SqlitePool;

use super::writes::Writes;

/// A pool, and what its writes found out. Clones share both.
#[derive(Clone, Debug)]
pub struct Sqlite {
    pool: SqlitePool,
    pub(super) writes: Writes,
}

impl Sqlite {
    /// Creates it from these connections.
    #[must_use]
    pub fn new(pool: SqlitePool) -> Self {
        Self { pool, writes: Writes::default() }
    }

    /// The pool.
    #[must_use]
    pub fn pool(&self) -> &SqlitePool {
        &self.pool
    }
}
