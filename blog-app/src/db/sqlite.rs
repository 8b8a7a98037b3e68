//! Connections to a file of the embedded SQLite.

use sqlx::sqlite::SqlitePool;

use super::writes::Writes;

/// A pool, and what its writes found out. Cloning shares both.
#[derive(Clone, Debug)]
pub struct Sqlite {
    pool: SqlitePool,
    pub(super) writes: Writes,
}

impl Sqlite {
    /// On these connections.
    #[must_use]
    pub fn new(pool: SqlitePool) -> Self {
        Self { pool, writes: Writes::default() }
    }

    /// The connections themselves.
    #[must_use]
    pub fn pool(&self) -> &SqlitePool {
        &self.pool
    }
}
