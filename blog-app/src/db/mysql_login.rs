//! Connections to a MySQL server whose login may change while they are in use: another password, other certificates.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlPool};
use sqlx::{Connection, Executor, MySql as MySqlKind, Row};
use thiserror::Error;
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};

use super::error_class::{NoConnection, no_connection, wrong_server};
use super::pool::{MYSQL_SESSION, POOL_SIZE};
use super::writes::Writes;
use super::{
    ACQUIRE_TIMEOUT, ConnectionGuard, connection_guard, is_login_outdated, is_nobody_there,
    is_password_refused, is_pool_timeout, loggable, server_problem,
};
use crate::config::{self, DatabaseConfig, Redacted, Rotation, Target};

/// How long a farewell may take; the server ends the session anyway.
const GOODBYE: Duration = Duration::from_secs(1);
/// After a look at the files that didn't help, the next one.
const PAUSE: Duration = Duration::from_secs(1);

/// After this long without a connection its cause is looked up. The pool itself retries without a reason.
const SUSPICIOUS: Duration = Duration::from_millis(400);
/// Time limit of a connection outside of the pool; requests wait little longer.
const LOOK_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a found cause is reported.
const ABSENCE_LIFETIME: Duration = Duration::from_secs(5);

/// A pool, and where its login comes from. Cloning shares both.
#[derive(Clone, Debug)]
pub struct MySql {
    pool: MySqlPool,
    login: Arc<Login>,
}

#[derive(Debug)]
struct Login {
    config: DatabaseConfig,
    /// Counts the logins; who was refused with an older one just tries again.
    number: AtomicU64,
    /// The server takes the previous password only, until `blog-app migrate` has run.
    on_previous: AtomicBool,
    /// When nothing that the files held was accepted.
    failed: Mutex<Option<Instant>>,
    /// Why the last connection didn't come, and when that was found.
    absence: parking_lot::Mutex<Option<(Instant, NoConnection)>>,
    writes: Writes,
}

/// Why the pool goes on with the login that it has.
#[derive(Debug, Error)]
pub enum RenewError {
    /// A file is missing, or only half there.
    #[error(transparent)]
    Settings(#[from] config::Error),
    /// The server is away, or refuses what the files hold.
    #[error("failed to connect with what the files of the settings hold now: {}", loggable(.0))]
    Server(sqlx::Error),
}

impl RenewError {
    /// Whether nothing can be said about the files, since nobody is there to try them on.
    #[must_use]
    pub fn is_server_away(&self) -> bool {
        matches!(self, Self::Server(error) if !is_login_outdated(error))
    }
}

impl MySql {
    pub(super) fn new(pool: MySqlPool, config: DatabaseConfig) -> Self {
        let login = Login {
            config,
            number: AtomicU64::new(0),
            on_previous: AtomicBool::new(false),
            failed: Mutex::new(None),
            absence: parking_lot::Mutex::new(None),
            writes: Writes::default(),
        };
        Self { pool, login: Arc::new(login) }
    }

    /// The connections themselves.
    #[must_use]
    pub fn pool(&self) -> &MySqlPool {
        &self.pool
    }

    /// Where the login comes from.
    #[must_use]
    pub fn config(&self) -> &DatabaseConfig {
        &self.login.config
    }

    pub(super) fn writes(&self) -> &Writes {
        &self.login.writes
    }

    /// Why connections don't come, if that was found a moment ago.
    pub(super) fn absence(&self) -> Option<String> {
        self.absence_found().map(|found| found.cause)
    }

    fn absence_found(&self) -> Option<NoConnection> {
        let found = self.lock_absence();
        let (when, cause) = found.as_ref()?;
        (when.elapsed() < ABSENCE_LIFETIME).then(|| cause.clone())
    }

    fn lock_absence(&self) -> parking_lot::MutexGuard<'_, Option<(Instant, NoConnection)>> {
        self.login.absence.lock()
    }

    /// Whether the previous password is in use, since the server refuses the current one.
    #[must_use]
    pub fn is_on_previous_password(&self) -> bool {
        self.login.on_previous.load(Ordering::Relaxed)
    }

    /// A connection that may have died in the pool: for reads, which are simply tried again.
    pub(crate) async fn acquire(&self) -> sqlx::Result<ConnectionGuard<MySqlKind>> {
        self.with_a_valid_login(|| connection_guard::acquire(&self.pool)).await
    }

    /// A connection that has just answered.
    pub(crate) async fn acquire_checked(&self) -> sqlx::Result<ConnectionGuard<MySqlKind>> {
        self.with_a_valid_login(|| connection_guard::acquire_checked(&self.pool)).await
    }

    /// Kubernetes changes files when it gets round to it, and whoever changes a password doesn't wait for us: so who is
    /// refused looks into the files before anybody is told.
    async fn with_a_valid_login<F>(&self, attempt: impl Fn() -> F) -> sqlx::Result<ConnectionGuard<MySqlKind>>
    where
        F: Future<Output = sqlx::Result<ConnectionGuard<MySqlKind>>>,
    {
        let number = self.login.number.load(Ordering::Acquire);
        let trying = async {
            match attempt().await {
                Err(error) if is_login_outdated(&error) && self.renewed_since(number).await => {
                    attempt().await
                }
                outcome => outcome,
            }
        };
        let mut waiting = pin!(timeout(ACQUIRE_TIMEOUT, trying));
        let outcome = tokio::select! {
            outcome = waiting.as_mut() => outcome,
            wrong = self.look_for_absence() => match wrong {
                Some(wrong) => return Err(wrong),
                None => waiting.await,
            },
        };
        match outcome.unwrap_or(Err(sqlx::Error::PoolTimedOut)) {
            Err(error) if is_pool_timeout(&error) => {
                let found = self.absence_found().unwrap_or_else(|| NoConnection::because(no_connection()));
                Err(found.into_error())
            }
            outcome => outcome,
        }
    }

    /// Connects once outside of the pool, to learn why no connection comes. Concurrent requests share one such connection. Only a
    /// server that will never do is an error at once.
    async fn look_for_absence(&self) -> Option<sqlx::Error> {
        sleep(SUSPICIOUS).await;
        if self.pool.size() >= POOL_SIZE && self.pool.num_idle() == 0 {
            let busy = format!("all {POOL_SIZE} connections to the database are in use");
            *self.lock_absence() = Some((Instant::now(), NoConnection::because(busy)));
            return None;
        }
        if self.absence().is_some() {
            return None;
        }
        let options = self.pool.connect_options();
        let found = match timeout(LOOK_TIMEOUT, MySqlConnection::connect_with(&options)).await {
            Ok(Ok(connection)) => {
                *self.lock_absence() = None;
                return timeout(LOOK_TIMEOUT, mismatch(connection)).await.ok().flatten();
            }
            Ok(Err(error)) => {
                NoConnection { cause: loggable(&error), is_nobody_there: is_nobody_there(&error) }
            }
            Err(_) => NoConnection::because("the database's host does not answer"),
        };
        *self.lock_absence() = Some((Instant::now(), found));
        None
    }

    /// Whether there is another login than this one, which somebody else may have found meanwhile.
    async fn renewed_since(&self, number: u64) -> bool {
        let mut failed = self.login.failed.lock().await;
        if self.login.number.load(Ordering::Acquire) != number {
            return true;
        }
        if failed.is_some_and(|when| when.elapsed() < PAUSE) {
            return false;
        }
        let renewed = self.renew_locked().await;
        *failed = renewed.is_err().then(Instant::now);
        if let Err(error) = &renewed {
            tracing::debug!(%error, "no other login");
        }
        renewed.is_ok()
    }

    /// Goes on with what the files hold now, as soon as the server was seen to accept it. Connections that are there stay.
    pub async fn renew(&self) -> Result<(), RenewError> {
        let _one_at_a_time = self.login.failed.lock().await;
        self.renew_locked().await
    }

    async fn renew_locked(&self) -> Result<(), RenewError> {
        let config = self.login.config.reload()?;
        let Target::MySql(Redacted(current)) = config.target else { return Ok(()) };
        let (options, previous) = match (try_out(&current).await, config.rotation) {
            (Ok(()), _) => (current, false),
            (Err(error), Some(Rotation { previous: Redacted(previous), .. }))
                if is_password_refused(&error) =>
            {
                // If that is refused too, it's the current one that somebody should look at.
                try_out(&previous).await.map_err(|_| RenewError::Server(error))?;
                (previous, true)
            }
            (Err(error), _) => return Err(RenewError::Server(error)),
        };
        self.pool.set_connect_options(*options);
        self.login.number.fetch_add(1, Ordering::AcqRel);
        match (self.login.on_previous.swap(previous, Ordering::Relaxed), previous) {
            (false, true) => {
                tracing::warn!("the server refuses the current password: connecting with the previous one");
            }
            (true, false) => tracing::info!("the server takes the current password now"),
            _ => {}
        }
        Ok(())
    }
}

/// Gives a new connection the settings that all of ours have. A server of another kind that refuses them is named.
pub(super) async fn prepare(connection: &mut MySqlConnection) -> sqlx::Result<()> {
    let Err(error) = connection.execute(MYSQL_SESSION).await else { return Ok(()) };
    Err(kind_problem(connection).await.unwrap_or(error))
}

async fn kind_problem(connection: &mut MySqlConnection) -> Option<sqlx::Error> {
    let version = connection.fetch_one("SELECT VERSION()").await.ok()?;
    server_problem(version.try_get::<&str, _>(0).ok()?).map(wrong_server)
}

/// Why the server refuses the settings that every connection of ours gets, if it is of another kind.
async fn mismatch(mut connection: MySqlConnection) -> Option<sqlx::Error> {
    let refused = connection.execute(MYSQL_SESSION).await.is_err();
    let problem = if refused { kind_problem(&mut connection).await } else { None };
    close(connection).await;
    problem
}

async fn try_out(options: &MySqlConnectOptions) -> sqlx::Result<()> {
    close(connect(options).await?).await;
    Ok(())
}

/// A connection of its own, outside of any pool.
pub(crate) async fn connect(options: &MySqlConnectOptions) -> sqlx::Result<MySqlConnection> {
    let connecting = timeout(ACQUIRE_TIMEOUT, MySqlConnection::connect_with(options));
    connecting.await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

/// Says goodbye.
pub(crate) async fn close(connection: MySqlConnection) {
    let _ = timeout(GOODBYE, connection.close()).await;
}
