//! Connections to a MySQL server whose login may change.
//!
//! Password and certificates can change while connections are open.

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

/// Time limit of closing a connection; the server ends the session anyway.
const GOODBYE: Duration = Duration::from_secs(1);
/// Pause between two reads of the files that didn't help.
const PAUSE: Duration = Duration::from_secs(1);

/// Time without a connection after which the cause is determined.
///
/// The pool itself retries without reporting a cause.
const SUSPICIOUS: Duration = Duration::from_millis(400);
/// Time limit of a connection outside the pool; requests wait little longer.
const LOOK_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a found cause is reported.
const ABSENCE_LIFETIME: Duration = Duration::from_secs(5);

/// A pool and the source of its login. Clones share both.
#[derive(Clone, Debug)]
pub struct MySql {
    pool: MySqlPool,
    login: Arc<Login>,
}

#[derive(Debug)]
struct Login {
    config: DatabaseConfig,
    /// Number of logins so far.
    ///
    /// An attempt that an older login failed is just retried.
    number: AtomicU64,
    /// Whether the server accepts only the previous password, until `blog-app migrate` has run.
    on_previous: AtomicBool,
    /// When the server last refused everything that the files held.
    failed: Mutex<Option<Instant>>,
    /// Why the last connection failed, and when that was found.
    absence: parking_lot::Mutex<Option<(Instant, NoConnection)>>,
    writes: Writes,
}

/// Why the pool keeps its current login.
#[derive(Debug, Error)]
pub enum RenewError {
    /// A file is missing or incomplete.
    #[error(transparent)]
    Settings(#[from] config::Error),
    /// The server is unavailable, or refuses what the files hold.
    #[error("failed to connect with the current content of the settings' files: {}", loggable(.0))]
    Server(sqlx::Error),
}

impl RenewError {
    /// Whether the files could not be checked because no server answers.
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

    /// The pool.
    #[must_use]
    pub fn pool(&self) -> &MySqlPool {
        &self.pool
    }

    /// The source of the login.
    #[must_use]
    pub fn config(&self) -> &DatabaseConfig {
        &self.login.config
    }

    pub(super) fn writes(&self) -> &Writes {
        &self.login.writes
    }

    /// Why connections fail, if that was found a moment ago.
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

    /// Whether the previous password is in use because the server refuses the current one.
    #[must_use]
    pub fn is_on_previous_password(&self) -> bool {
        self.login.on_previous.load(Ordering::Relaxed)
    }

    /// Takes a connection that may be dead: for reads, which are simply retried.
    pub(crate) async fn acquire(&self) -> sqlx::Result<ConnectionGuard<MySqlKind>> {
        self.with_a_valid_login(|| connection_guard::acquire(&self.pool)).await
    }

    /// Takes a connection that has just answered a ping.
    pub(crate) async fn acquire_checked(&self) -> sqlx::Result<ConnectionGuard<MySqlKind>> {
        self.with_a_valid_login(|| connection_guard::acquire_checked(&self.pool)).await
    }

    /// Runs the attempt.
    ///
    /// If the login is refused, reads the files again before an error is returned.
    ///
    /// Kubernetes updates mounted files with a delay, and a password change doesn't wait for this process.
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

    /// Connects once outside the pool to find out why no connection comes.
    ///
    /// Concurrent requests share one such connection. Only an unsupported server is an error at once.
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

    /// Whether a newer login exists than this one.
    ///
    /// Another task may have found it meanwhile.
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
            tracing::debug!(%error, "no newer credentials on disk");
        }
        renewed.is_ok()
    }

    /// Switches to the login in the files, once the server has accepted it.
    ///
    /// Existing connections stay open.
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
                // If that is refused too, the error of the current password is the one to report.
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
            (true, false) => tracing::info!("the server accepts the current password now"),
            _ => {}
        }
        Ok(())
    }
}

/// Applies the session settings to a new connection.
///
/// Names an unsupported server that refuses them.
pub(super) async fn prepare(connection: &mut MySqlConnection) -> sqlx::Result<()> {
    let Err(error) = connection.execute(MYSQL_SESSION).await else { return Ok(()) };
    Err(kind_problem(connection).await.unwrap_or(error))
}

async fn kind_problem(connection: &mut MySqlConnection) -> Option<sqlx::Error> {
    let version = connection.fetch_one("SELECT VERSION()").await.ok()?;
    server_problem(version.try_get::<&str, _>(0).ok()?).map(wrong_server)
}

/// Why the server refuses the session settings, if it is an unsupported one.
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

/// Opens a connection outside any pool.
pub(crate) async fn connect(options: &MySqlConnectOptions) -> sqlx::Result<MySqlConnection> {
    let connecting = timeout(ACQUIRE_TIMEOUT, MySqlConnection::connect_with(options));
    connecting.await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

/// Closes a connection.
pub(crate) async fn close(connection: MySqlConnection) {
    let _ = timeout(GOODBYE, connection.close()).await;
}
