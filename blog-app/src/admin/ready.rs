//! `blog-app check-ready`: for health checks of Docker and Compose, since the image has no other program that could ask.

use std::time::Duration;

use anyhow::{Context, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::cli::CheckReadyArgs;

/// Docker itself waits longer.
const PATIENCE: Duration = Duration::from_secs(3);
/// More of an answer is never read.
const ANSWER: u64 = 8 << 10;

/// Succeeds if the blog on this machine is ready, and says why if it isn't.
pub async fn run(args: &CheckReadyArgs) -> anyhow::Result<()> {
    let asked = timeout(PATIENCE, ask(args)).await;
    let answer = asked.unwrap_or_else(|_| bail!("no answer within {} s", PATIENCE.as_secs()));
    let answer = answer.with_context(|| format!("failed to ask {} whether it is ready", args.address))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    if head.split(' ').nth(1) != Some("200") {
        bail!("not ready: {}", body.trim());
    }
    println!("{}", body.trim());
    Ok(())
}

async fn ask(args: &CheckReadyArgs) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(&args.address).await?;
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", args.address);
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
