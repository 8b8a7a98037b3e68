//! `blog-app check-ready`: for health checks of Docker and Compose.

use std::time::Duration;

use anyhow::{Context, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::cli::commands::CheckReadyArgs;

/// Timeout of the request; Docker's own is longer.
const PATIENCE: Duration = Duration::from_secs(3);
/// Bytes of a response that are read at most.
const LONGEST: u64 = 8 << 10;

/// A server's response.
pub(super) struct Answer {
    /// The status code as text, for example `200`.
    ///
    /// Empty if the response wasn't HTTP.
    pub status: String,
    /// The beginning of the body at least.
    pub body: String,
}

/// Succeeds if the local blog is ready, else reports why it isn't.
pub async fn run(args: &CheckReadyArgs) -> anyhow::Result<()> {
    let asked = timeout(PATIENCE, ask(&args.address, "/readyz")).await;
    let asked = asked.unwrap_or_else(|_| bail!("no answer within {} s", PATIENCE.as_secs()));
    let answer = asked.with_context(|| format!("failed to query {} for readiness", args.address))?;
    if answer.status != "200" {
        bail!("not ready: {}", answer.body.trim());
    }
    println!("{}", answer.body.trim());
    Ok(())
}

/// Sends one request in plain HTTP.
pub(super) async fn ask(address: &str, path: &str) -> anyhow::Result<Answer> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(LONGEST).read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.strip_prefix("HTTP/").and_then(|rest| rest.split(' ').nth(1)).unwrap_or_default();
    Ok(Answer { status: status.to_owned(), body: body.to_owned() })
}
