//! Connections: accepting, bounding and ending them. axum's own server has no timeout for slow headers.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};
use tokio_io_timeout::TimeoutStream;

/// A client that takes nothing of its answer for so long is left, or it would pin the answer's memory for ever.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// Also how long an idle connection is kept.
const HEADER_TIMEOUT: Duration = Duration::from_secs(15);
/// An idle one costs about 16 KiB, so that all of them stay below a limit of 256 MiB. More wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 10_240;
const MAX_HEADER_BYTES: usize = 64 * 1024;
/// How long requests in flight may take once the listener is closed.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(20);
/// Out of file descriptors: accepting again at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `stop` turns true, then finishes the requests in flight.
pub async fn serve(listener: TcpListener, router: Router, mut stop: watch::Receiver<bool>) {
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await.expect("the semaphore is never closed");
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            accepted = accepted => accepted,
            // An error means that the sender is gone, and with it the reason to go on.
            _ = stop.wait_for(|stop| *stop) => break,
        };
        match accepted {
            Ok((stream, _)) => {
                let connection = graceful.watch(connection(stream, router.clone()));
                tokio::spawn(async move {
                    let _place = place;
                    if let Err(error) = connection.await {
                        tracing::debug!(%error, "connection ended early");
                    }
                });
            }
            Err(error) => pause_after(&error).await,
        }
    }
    drop(listener);
    if timeout(SHUTDOWN_TIMEOUT, graceful.shutdown()).await.is_err() {
        tracing::warn!("gave up waiting for requests in flight");
    }
}

type Stream = Pin<Box<TimeoutStream<TcpStream>>>;

fn connection(
    stream: TcpStream,
    router: Router,
) -> http1::Connection<TokioIo<Stream>, TowerToHyperService<Router>> {
    // Answers are small: waiting to fill a packet only delays them. Where it isn't supported, they are slower.
    let _ = stream.set_nodelay(true);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(WRITE_TIMEOUT));
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEADER_BYTES)
        .serve_connection(TokioIo::new(Box::pin(stream)), TowerToHyperService::new(router))
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

    use super::*;

    async fn answer_to(request: &[u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (_stop, stopped) = watch::channel(false);
        tokio::spawn(serve(listener, Router::new().route("/", get(|| async { "served" })), stopped));
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(request).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        answer
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
        let answer = answer_to(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert!(answer.ends_with("served"), "{answer}");
    }

    #[tokio::test]
    async fn a_client_that_never_reads_its_answer_is_left() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let endless = Router::new().route("/", get(|| async { "x".repeat(64 * 1024 * 1024) }));
        let serving = tokio::spawn(connection(stream, endless));
        // The kernel's buffers fill in real time; from then on only the clock can end it.
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
