//! A connection while it is in use.

use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{Connection, Pool};
use tokio::time::timeout;

use super::ACQUIRE_TIMEOUT;

/// A server that answers at all answers a ping at once.
const PING_TIMEOUT: Duration = Duration::from_secs(1);

/// A connection that goes back to its pool only by [`ConnectionGuard::release`].
///
/// Dropped before that, since a client has hung up or a time-out has struck, it is closed: an answer may still be on its
/// way, and the next statement would take that for its own. sqlx alone would give it back, after a ping that has no time-out and keeps its place in the pool.
pub(crate) struct ConnectionGuard<DB: sqlx::Database>(Option<PoolConnection<DB>>);

impl<DB: sqlx::Database> ConnectionGuard<DB> {
    /// The connection itself.
    pub(crate) fn connection(&mut self) -> &mut DB::Connection {
        self.0.as_mut().expect("it is there until it is released")
    }

    /// The connection for good: the pool forgets it.
    pub(crate) fn detach(mut self) -> DB::Connection {
        self.0.take().expect("it is there until it is released").detach()
    }

    /// Nothing is under way on it: the pool may have it.
    pub(crate) fn release(mut self) {
        self.0 = None;
    }
}

impl<DB: sqlx::Database> Drop for ConnectionGuard<DB> {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(connection.detach());
        }
    }
}

/// A connection that may have died in the pool: for reads, which are simply tried again.
pub(crate) async fn acquire<DB: sqlx::Database>(pool: &Pool<DB>) -> sqlx::Result<ConnectionGuard<DB>> {
    let acquired = timeout(ACQUIRE_TIMEOUT, pool.acquire()).await;
    acquired.unwrap_or(Err(sqlx::Error::PoolTimedOut)).map(|connection| ConnectionGuard(Some(connection)))
}

/// A connection that has just answered. Dead ones are thrown away, so that after a restart of the server the first
/// write works, even though every connection in the pool is dead.
pub(crate) async fn acquire_checked<DB: sqlx::Database>(
    pool: &Pool<DB>,
) -> sqlx::Result<ConnectionGuard<DB>> {
    let answering = async {
        loop {
            let mut held = ConnectionGuard(Some(pool.acquire().await?));
            if matches!(timeout(PING_TIMEOUT, held.connection().ping()).await, Ok(Ok(()))) {
                return Ok(held);
            }
        }
    };
    timeout(ACQUIRE_TIMEOUT, answering).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}
