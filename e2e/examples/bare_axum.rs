//! A handler that does nothing but answer with the same bytes: what the HTTP library costs.

use axum::{Router, body::Bytes, http::header, routing::get};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let file = std::env::args().nth(1).unwrap_or_default();
    let page = Bytes::from(std::fs::read(file)?);
    let answer = move || {
        let page = page.clone();
        async move { ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], page) }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:6005").await?;
    axum::serve(listener, Router::new().route("/", get(answer))).await
}
