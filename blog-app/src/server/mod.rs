//! Accepts, limits and ends connections.
//!
//! axum's own server has no timeout for slow headers, and its graceful shutdown resets connections that have just opened.

pub mod secret_reload;
pub mod shutdown;

use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_io_timeout::TimeoutStream;
use tower_http::add_extension::AddExtension;

use crate::security::trusted_proxies::Peer;

/// Time after which a client that reads nothing of its response is disconnected.
///
/// Otherwise it would hold the response's memory without limit.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// Time limit of reading headers, and of an idle connection.
const HEADER_TIMEOUT: Duration = Duration::from_secs(15);
/// Most open connections; further ones wait in the kernel's queue.
///
/// An idle connection costs at most its headers, so all of them stay below a memory limit of 256 MiB.
const MAX_CONNECTIONS: u32 = 10_240;
const MAX_HEADER_BYTES: usize = 16 * 1024;
/// Time limit of requests in flight after the listener was closed.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(20);
/// Longest delay of a shutdown by new connections.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(20);
/// Time that a new connection has for its first request during shutdown.
const FIRST_REQUEST: Duration = Duration::from_secs(2);
/// Time to accept what waits in the kernel's queue.
///
/// Closing the listener resets those connections.
const LEAST_QUIET: Duration = Duration::from_millis(50);
/// Pause after running out of file descriptors.
///
/// Accepting again at once would be a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Phase of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Serves normally.
    Serving,
    /// Serves, but closes each connection after its response.
    ///
    /// The client then reconnects to another replica.
    Draining,
    /// Ends after a period without new connections.
    ///
    /// By then the proxies have learned of the shutdown and send no more.
    ShuttingDown {
        /// Length of that period.
        quiet: Duration,
    },
}

/// Waits for the shutdown; returns the required period without new connections.
///
/// An error of the channel means that its sender was dropped, which is a shutdown too.
async fn leaving(mut phase: watch::Receiver<Phase>) -> Duration {
    match phase.wait_for(|phase| matches!(phase, Phase::ShuttingDown { .. })).await.as_deref() {
        Ok(Phase::ShuttingDown { quiet }) => *quiet,
        _ => Duration::ZERO,
    }
}

/// Serves until shutdown, then finishes the requests in flight.
pub async fn serve(listener: TcpListener, router: Router, phase: watch::Receiver<Phase>) {
    let router = router.layer(from_fn_with_state(phase.clone(), close_unless_serving));
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS as usize));
    let too_late = async {
        leaving(phase.clone()).await;
        sleep(LEAVE_TIMEOUT).await;
    };
    tokio::select! {
        () = accept_until_quiet(&listener, &router, &places, &phase) => {}
        () = too_late => tracing::warn!("closing the listener while clients still connect"),
    }
    drop(listener);
    if timeout(SHUTDOWN_TIMEOUT, places.acquire_many(MAX_CONNECTIONS)).await.is_err() {
        tracing::warn!("gave up waiting for requests in flight");
    }
}

async fn accept_until_quiet(
    listener: &TcpListener,
    router: &Router,
    places: &Arc<Semaphore>,
    phase: &watch::Receiver<Phase>,
) {
    loop {
        let accepted = async {
            let place = Arc::clone(places).acquire_owned().await.expect("the semaphore is never closed");
            (listener.accept().await, place)
        };
        // Restarts with each new connection.
        let quiet = async {
            let quiet = leaving(phase.clone()).await;
            sleep(quiet.max(LEAST_QUIET)).await;
        };
        let (accepted, place) = tokio::select! {
            accepted = accepted => accepted,
            () = quiet => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let connection = connection(stream, peer, router.clone());
                tokio::spawn(serve_connection(connection, phase.clone(), place));
            }
            Err(error) => pause_after(&error).await,
        }
    }
}

/// Raises the soft limit of open files to the connection limit plus some files.
///
/// Many systems start programs with a limit of about a thousand but allow them to raise it.
pub fn raise_nofile_limit() {
    let wanted = u64::from(MAX_CONNECTIONS) + 512;
    match rlimit::increase_nofile_limit(wanted) {
        Ok(given) if given < wanted => {
            tracing::warn!(
                given,
                wanted,
                "the limit of open files is below the connection limit: excess connections will queue"
            );
        }
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "failed to raise the limit of open files"),
    }
}

type Stream = Pin<Box<TimeoutStream<TcpStream>>>;
type Connection = http1::Connection<TokioIo<Stream>, TowerToHyperService<AddExtension<Router, Peer>>>;

fn connection(stream: TcpStream, peer: SocketAddr, router: Router) -> Connection {
    // Responses are small: waiting to fill a packet only delays them. Without this option they are just slower.
    let _ = stream.set_nodelay(true);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(WRITE_TIMEOUT));
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEADER_BYTES)
        .serve_connection(
            TokioIo::new(Box::pin(stream)),
            TowerToHyperService::new(AddExtension::new(router, Peer(peer))),
        )
}

/// Runs one connection to its end.
///
/// At shutdown hyper closes a connection without any request at once, although one may be on its way. A new connection
/// therefore gets a moment first.
async fn serve_connection(
    connection: Connection,
    phase: watch::Receiver<Phase>,
    _place: OwnedSemaphorePermit,
) {
    let opened = Instant::now();
    let mut connection = pin!(connection);
    let time_to_go = async {
        leaving(phase).await;
        sleep_until(opened + FIRST_REQUEST).await;
    };
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = time_to_go => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended early");
    }
}

async fn close_unless_serving(
    State(phase): State<watch::Receiver<Phase>>,
    request: Request,
    next: Next,
) -> Response {
    let mut answer = next.run(request).await;
    if *phase.borrow() != Phase::Serving {
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}

async fn pause_after(error: &io::Error) {
    let client_left = matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    );
    if !client_left {
        tracing::error!(%error, "failed to accept a connection");
        sleep(ACCEPT_PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::task::JoinHandle;

    use super::*;

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    const NOW: Phase = Phase::ShuttingDown { quiet: Duration::ZERO };

    struct Server {
        address: SocketAddr,
        phase: watch::Sender<Phase>,
        task: JoinHandle<()>,
    }

    impl Server {
        async fn start() -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let (phase, receiver) = watch::channel(Phase::Serving);
            let router = Router::new().route("/", get(|| async { "served" }));
            Self { address, phase, task: tokio::spawn(serve(listener, router, receiver)) }
        }

        async fn visitor(&self) -> TcpStream {
            TcpStream::connect(self.address).await.unwrap()
        }
    }

    async fn ask(client: &mut TcpStream, request: &[u8]) -> String {
        client.write_all(request).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        answer
    }

    async fn answer_to(request: &[u8]) -> String {
        let server = Server::start().await;
        ask(&mut server.visitor().await, request).await
    }

    #[tokio::test]
    async fn who_has_come_before_the_end_without_a_word_is_still_answered() {
        let server = Server::start().await;
        let mut client = server.visitor().await;
        // Accepted, but no bytes have arrived yet.
        sleep(Duration::from_millis(50)).await;
        server.phase.send(NOW).unwrap();
        sleep(Duration::from_millis(200)).await;
        assert!(TcpStream::connect(server.address).await.is_err(), "the listener is open");
        let answer = ask(&mut client, REQUEST).await;
        assert!(answer.ends_with("served"), "{answer}");
        server.task.await.unwrap();
    }

    #[tokio::test]
    async fn who_waits_in_the_queue_at_the_end_is_still_answered() {
        let server = Server::start().await;
        // The server's task can't run before the next await that is pending.
        let client = std::net::TcpStream::connect(server.address).unwrap();
        server.phase.send(NOW).unwrap();
        client.set_nonblocking(true).unwrap();
        let answer = ask(&mut TcpStream::from_std(client).unwrap(), REQUEST).await;
        assert!(answer.ends_with("served"), "{answer}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_door_stays_open_while_visitors_come_but_not_for_ever() {
        let server = Server::start().await;
        server.phase.send(Phase::ShuttingDown { quiet: Duration::from_secs(3) }).unwrap();
        let started = Instant::now();
        while let Ok(mut client) = TcpStream::connect(server.address).await {
            let answer = ask(&mut client, REQUEST).await;
            assert!(answer.contains("connection: close") && answer.ends_with("served"), "{answer}");
            assert!(started.elapsed() < LEAVE_TIMEOUT + Duration::from_secs(3), "it never ends");
            sleep(Duration::from_secs(2)).await;
        }
        assert!(started.elapsed() >= LEAVE_TIMEOUT, "closed after {:?}", started.elapsed());
        server.task.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_visitor_does_not_delay_the_end_for_long() {
        let server = Server::start().await;
        let _silent = server.visitor().await;
        let started = Instant::now();
        server.phase.send(NOW).unwrap();
        server.task.await.unwrap();
        assert!(started.elapsed() <= FIRST_REQUEST + Duration::from_secs(1), "{:?}", started.elapsed());
    }

    #[tokio::test]
    async fn while_draining_each_answer_ends_its_connection() {
        let server = Server::start().await;
        let mut kept = server.visitor().await;
        kept.write_all(REQUEST).await.unwrap();
        let mut first = vec![0; 4096];
        let length = kept.read(&mut first).await.unwrap();
        let first = String::from_utf8_lossy(&first[..length]).into_owned();
        assert!(first.ends_with("served") && !first.contains("connection: close"), "{first}");
        server.phase.send(Phase::Draining).unwrap();
        // Reading to the end proves that the server closed the connection.
        let answer = ask(&mut kept, REQUEST).await;
        assert!(answer.contains("connection: close"), "{answer}");
        assert!(ask(&mut server.visitor().await, REQUEST).await.ends_with("served"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_never_finishes_its_headers_is_left() {
        assert_eq!(answer_to(b"GET / HTTP/1.1\r\nHo").await, "");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_says_nothing_is_left() {
        assert_eq!(answer_to(b"").await, "");
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_falls_silent_after_an_answer_is_closed() {
        let answer = answer_to(REQUEST).await;
        assert!(answer.ends_with("served"), "{answer}");
    }

    #[tokio::test]
    async fn a_client_that_never_reads_its_answer_is_left() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        client.write_all(REQUEST).await.unwrap();
        let (stream, peer) = listener.accept().await.unwrap();
        let endless = Router::new().route("/", get(|| async { "x".repeat(64 * 1024 * 1024) }));
        let serving = tokio::spawn(connection(stream, peer, endless));
        // The kernel's buffers fill in real time; from then on only the timeout can end the connection.
        sleep(Duration::from_millis(500)).await;
        assert!(!serving.is_finished());
        tokio::time::pause();
        tokio::time::advance(WRITE_TIMEOUT + Duration::from_secs(1)).await;
        assert!(serving.await.unwrap().is_err());
    }

    #[tokio::test]
    async fn endless_headers_are_refused() {
        let mut request = b"GET / HTTP/1.1\r\nHost: x\r\nX: ".to_vec();
        request.resize(2 * MAX_HEADER_BYTES, b'x');
        request.extend(b"\r\n\r\n");
        let answer = answer_to(&request).await;
        assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    }
}
