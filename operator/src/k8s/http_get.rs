//! A request for `/readyz`: one plain HTTP/1.0 request (RFC 1945) needs no client library.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// Timeout of a connection attempt.
///
/// Connections within a cluster take milliseconds, and the address of a lost node never answers.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Largest part of a response that is read, in bytes.
const ANSWER_LIMIT: u64 = 64 * 1024;

/// Returns status code and body. The caller sets the timeout of the response.
///
/// # Errors
/// When the connection fails, or the response isn't HTTP.
pub(crate) async fn get_readyz(address: &str) -> io::Result<(u16, String)> {
    let connected = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await;
    let mut stream = connected.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    stream.write_all(b"GET /readyz HTTP/1.0\r\n\r\n").await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_LIMIT).read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split_whitespace().nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the answer isn't HTTP"))?;
    Ok((status, body.to_owned()))
}
