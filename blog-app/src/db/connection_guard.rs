//! A connection while it is in use.

use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{Connection, Pool};
use tokio::time::timeout;

use super::ACQUIRE_TIMEOUT;

/// Time limit of a ping.
///
/// A server that responds at all answers at once.
const PING_TIMEOUT: Duration = Duration::from_secs(1);

/// A connection that returns to its pool only by [`ConnectionGuard::release`].
///
/// If it is dropped earlier, it is closed: the client has hung up or a timeout has expired. A response may still be on
/// its way, and the next statement would read it as its own. sqlx alone would return the connection to the pool, after
/// a ping without a timeout that keeps its slot in the pool.
pub(crate) struct ConnectionGuard<DB: sqlx::Database>(Option<PoolConnection<DB>>);

impl<DB: sqlx::Database> ConnectionGuard<DB> {
    /// The connection itself.
    pub(crate) fn connection(&mut self) -> &mut DB::Connection {
        self.0.as_mut().expect("present until release")
    }

    /// Takes the connection out of the pool for good.
    pub(crate) fn detach(mut self) -> DB::Connection {
        self.0.take().expect("present until release").detach()
    }

    /// Returns the connection to the pool.
    ///
    /// No statement may be running on it.
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

/// Takes a connection that may be dead: for reads, which are simply retried.
pub(crate) async fn acquire<DB: sqlx::Database>(pool: &Pool<DB>) -> sqlx::Result<ConnectionGuard<DB>> {
    let acquired = timeout(ACQUIRE_TIMEOUT, pool.acquire()).await;
    acquired.unwrap_or(Err(sqlx::Error::PoolTimedOut)).map(|connection| ConnectionGuard(Some(connection)))
}

/// Takes a connection that has just answered a ping.
///
/// Dead ones are discarded. After a restart of the server the first write therefore works, even if every connection in
/// the pool is dead.
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
