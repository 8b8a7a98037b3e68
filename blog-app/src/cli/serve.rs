//! `blog-app serve`: from settings to a running blog, and to its orderly shutdown.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::cache::page_cache::PageCache;
use crate::cli::migrate::{SQLITE_PATIENCE, migrate_with_retry};
use crate::config::{DatabaseConfig, Env, Registration, ServeArgs};
use crate::db::Database;
use crate::html::blocking::BlockingPool;
use crate::html::bodies::MarkdownCache;
use crate::html::layout::Site;
use crate::router::router;
use crate::routes::health::{self, Readiness};
use crate::routes::logout;
use crate::security::body_places::Places;
use crate::security::name_index::NameIndex;
use crate::security::password::Passwords;
use crate::security::rate_limit::{LoginLimiter, RegistrationLimiter};
use crate::security::session::Sessions;
use crate::security::session_keys::KeySource;
use crate::security::trusted_proxies::TrustedProxies;
use crate::server::secret_reload::SecretReloader;
use crate::server::shutdown::{Ending, Signals, leave};
use crate::server::{self, Phase};
use crate::state::AppState;
use crate::store::schema::{self, Inspection};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::Traces;

/// Logins and registrations that are hashed at the same time.
///
/// Further ones wait.
const MAX_PARALLEL_HASHES: usize = 2;
/// How long startup waits for the schema check.
///
/// Readiness covers a database that is unavailable longer.
const SCHEMA_CHECK: Duration = Duration::from_secs(2);

/// Backlog of connections to accept; usually also the kernel's limit.
const QUEUE: u32 = 4096;

/// Number of parallel hashes, at most the number of cores.
///
/// Each hash takes 19 MiB, and a container without a CPU limit sees all cores of its node. A burst of logins must not
/// cost more memory than the container has.
fn parallel_hashes() -> usize {
    std::thread::available_parallelism().map_or(1, Into::into).min(MAX_PARALLEL_HASHES)
}

fn site(args: &ServeArgs, env: Env<'_>) -> Site {
    Site {
        markup: args.markup,
        registration_open: args.registration == Registration::Open,
        address: args.address.clone(),
        ..Site::new(&args.title, env("APP_VERSION").as_deref())
    }
}

/// Serves until a signal arrives.
pub async fn run(args: ServeArgs, env: Env<'_>) -> anyhow::Result<()> {
    let mut signals = Signals::listen()?;
    server::raise_nofile_limit();
    let config = DatabaseConfig::resolve(&args.database, env)?;
    let source = KeySource::resolve(&args, &config.target, env)?;
    let sessions = Sessions::new(source.load()?);
    let database = Database::lazy(&config);
    check_schema(&database).await?;
    let traces = Traces::from_env(env);
    let app = Arc::new(AppState {
        database: database.clone(),
        sessions: sessions.clone(),
        passwords: Passwords::new(parallel_hashes()),
        site: Arc::new(site(&args, env)),
        page_cache: PageCache::default(),
        markdown: MarkdownCache::default(),
        pool: BlockingPool::default(),
        metrics: Metrics::default(),
        traces: traces.clone(),
        places: Places::default(),
        login_limiter: LoginLimiter::default(),
        names: NameIndex::default(),
        registration_limiter: RegistrationLimiter::per_minute(args.registrations_per_minute),
        proxies: if args.trust_proxy {
            TrustedProxies::All
        } else {
            TrustedProxies::In(args.trusted_proxies.clone())
        },
    });
    let secrets = SecretReloader { source, sessions, config, database: database.clone() };
    let watching = tokio::spawn(secrets.watch());
    let in_background = tokio::spawn({
        let app = Arc::clone(&app);
        async move {
            tokio::join!(app.page_cache.recheck_regularly(&app.database), logout::record_regularly(&app))
        }
    });
    let drain = Duration::from_secs(args.drain_seconds);
    serve_both(&args, app, drain, &mut signals).await?;
    watching.abort();
    in_background.abort();
    traces.finish().await;
    // Connections that hang must not delay the exit.
    let _ = timeout(SCHEMA_CHECK, database.close()).await;
    tracing::info!("stopped");
    Ok(())
}

/// Listens with a long backlog.
///
/// A client that finds it full retries only after a second.
fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let listening = socket.and_then(|socket| {
        // As the standard library does: a restart needn't wait for the previous process's connections.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(QUEUE)
    });
    listening.with_context(|| format!("failed to listen on {address}"))
}

async fn serve_both(
    args: &ServeArgs,
    app: Arc<AppState>,
    drain: Duration,
    signals: &mut Signals,
) -> anyhow::Result<()> {
    let (pages, admin) = (listen(args.listen)?, listen(args.admin_listen)?);
    let readiness = Arc::new(Readiness::new(app.database.clone()).with_sessions(app.sessions.clone()));
    let admin_router = health::router(Arc::clone(&readiness), app.metrics.clone(), app.database.clone());
    let (address, admin_address) = (pages.local_addr()?, admin.local_addr()?);
    let (phase, pages_phase) = watch::channel(Phase::Serving);
    let mut pages = tokio::spawn(server::serve(pages, router(app), pages_phase));
    // The admin port serves until the process exits.
    let (_admin_phase, serving) = watch::channel(Phase::Serving);
    let admin = tokio::spawn(server::serve(admin, admin_router, serving));
    tracing::info!(%address, %admin_address, "serving");

    let ending = tokio::select! {
        ending = signals.next() => ending,
        _ = &mut pages => bail!("failed to go on serving: the listener's task ended"),
    };
    let drain = if ending == Ending::Now { Duration::ZERO } else { drain };
    readiness.drain();
    // A send fails only if the tasks have ended already, which is harmless; the same holds below.
    let _ = phase.send(Phase::Draining);
    tracing::info!(seconds = drain.as_secs(), "shutting down: not ready any more, still serving");
    leave(drain, &phase, signals, pages).await.context("failed to finish the requests in flight")?;
    admin.abort();
    Ok(())
}

/// Checks the schema, and migrates an embedded database.
///
/// On a server that is the job of `blog-app migrate`, which runs once and may have more permissions. An unusable schema
/// is refused here instead of at each request.
async fn check_schema(database: &Database) -> anyhow::Result<()> {
    if let Database::Sqlite(embedded) = database {
        let file = embedded.pool().connect_options().get_filename().to_owned();
        let done = migrate_with_retry(database, SQLITE_PATIENCE)
            .await
            .with_context(|| format!("failed to prepare the database in {}", file.display()))?;
        if done.from != done.to {
            tracing::info!(from = done.from, to = done.to, "migrated the database");
        }
        return Ok(());
    }
    match timeout(SCHEMA_CHECK, schema::inspect(database)).await {
        Ok(Ok(Inspection { problem: None, .. })) => {}
        Ok(Ok(Inspection { problem: Some(problem), .. })) => bail!(problem),
        Ok(Err(error)) if !error.is_unavailable() => return Err(error.into()),
        Ok(Err(error)) => tracing::warn!(%error, "starting without the database, not ready until it answers"),
        Err(_) => tracing::warn!("starting without the database, not ready until it answers"),
    }
    Ok(())
}
