//! `operator check-ready`: requests the readiness of a running operator.

use std::time::Duration;

use anyhow::Context as _;
use tokio::time::{Instant, sleep, timeout};

use crate::k8s::http_get::get_readyz;

/// Timeout of one request.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Delay before the first retry. Each later delay is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Longest delay between two retries.
const LONGEST_PAUSE: Duration = Duration::from_secs(4);

/// Requests `/readyz` at `address` until it succeeds or `patience` is over.
///
/// A Service whose pods have just become ready refuses connections until kube-proxy has updated each node.
///
/// # Errors
/// When the address doesn't respond in time, or the last response isn't 200. The message holds the response's text.
pub async fn check_ready(address: &str, patience: Duration) -> anyhow::Result<()> {
    let deadline = Instant::now() + patience;
    let mut pause = FIRST_PAUSE;
    while let Err(error) = ask(address).await {
        if Instant::now() + pause > deadline {
            return Err(error);
        }
        eprintln!("{error:#}; asking again in {} ms", pause.as_millis());
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    println!("{address} is ready");
    Ok(())
}

async fn ask(address: &str) -> anyhow::Result<()> {
    let (status, body) = timeout(ANSWER_TIMEOUT, get_readyz(address))
        .await
        .with_context(|| format!("no answer from {address} within {} s", ANSWER_TIMEOUT.as_secs()))?
        .with_context(|| format!("failed to query {address}"))?;
    anyhow::ensure!(status == 200, "{address} isn't ready: {}", body.trim());
    Ok(())
}

#[cfg(test)]
mod tests {
    use axum::{Router, http::StatusCode, routing::get};
    use tokio::net::TcpListener;

    use super::*;

    async fn free_address() -> String {
        TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string()
    }

    async fn serve(address: String, status: StatusCode, text: &'static str) {
        let router = Router::new().route("/readyz", get(move || async move { (status, text) }));
        axum::serve(TcpListener::bind(address).await.unwrap(), router).await.unwrap();
    }

    #[tokio::test]
    async fn an_operator_that_answers_a_moment_later_is_waited_for() {
        let address = free_address().await;
        let late = address.clone();
        drop(tokio::spawn(async move {
            sleep(Duration::from_millis(400)).await;
            serve(late, StatusCode::OK, "ok").await;
        }));
        check_ready(&address, Duration::from_secs(20)).await.unwrap();
    }

    #[tokio::test]
    async fn without_patience_the_first_refusal_is_the_answer() {
        let address = free_address().await;
        let error = check_ready(&address, Duration::ZERO).await.unwrap_err();
        assert_eq!(error.to_string(), format!("failed to query {address}"));
    }

    #[tokio::test]
    async fn who_stays_unready_fails_with_what_it_waits_for() {
        let address = free_address().await;
        drop(tokio::spawn(serve(address.clone(), StatusCode::SERVICE_UNAVAILABLE, "waiting for the CRD\n")));
        let error = check_ready(&address, Duration::from_millis(600)).await.unwrap_err();
        assert_eq!(error.to_string(), format!("{address} isn't ready: waiting for the CRD"));
    }
}
