//! The program with an OpenTelemetry collector: one that answers, and one that is unavailable.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::program::{Program, eventually, exchange, get, post};

/// Receives what is sent to `/v1/traces`, and passes it on.
fn collector() -> (SocketAddr, Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, received) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let (mut head, mut length) = (String::new(), 0);
            while !head.ends_with("\r\n\r\n") {
                stream.read_line(&mut head).unwrap();
            }
            assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
            for line in head.lines() {
                if let Some(value) = line.strip_prefix("content-length: ") {
                    length = value.parse().unwrap();
                }
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).unwrap();
            stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
            // At the end of the test the receiver may be gone.
            let _ = sender.send(body);
        }
    });
    (address, received)
}

fn has(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[test]
fn a_span_of_each_request_reaches_the_collector_and_nothing_that_somebody_wrote() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}/flaskr.sqlite", directory.path().display());
    let (address, received) = collector();
    let endpoint = format!("http://{address}");
    let settings = [
        ("BLOG_DATABASE_URL", url.as_str()),
        ("BLOG_DRAIN_SECONDS", "0"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
        ("OTEL_BSP_SCHEDULE_DELAY", "20"),
    ];
    let mut program = Program::start(&["serve"], &settings);
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let request = format!(
        "GET /77/update?qzxj HTTP/1.1\r\nHost: x\r\nConnection: close\r\nx-request-id: id-of-it\r\n\
         traceparent: 00-{trace}-00f067aa0ba902b7-01\r\n\r\n"
    );
    assert_eq!(exchange(program.pages, &request).0, 302);
    let first = received.recv_timeout(Duration::from_secs(20)).unwrap();
    for part in ["GET /{id}/update", "http.route", "http.response.status_code", "id-of-it", "blog-app"] {
        assert!(has(&first, part.as_bytes()), "{part} in {}", String::from_utf8_lossy(&first));
    }
    let trace = u128::from_str_radix(trace, 16).unwrap().to_be_bytes();
    assert!(has(&first, &trace), "it is part of the caller's trace");
    assert_eq!(post(program.pages, "/auth/register", "", "username=qzxj&password=qzxj").0, 302);
    program.terminate();
    assert!(program.wait().success());
    let rest: Vec<u8> = received.try_iter().flatten().collect();
    assert!(has(&rest, b"POST /auth/register"), "the end waits for the last spans");
    assert!(!has(&[first, rest].concat(), b"qzxj"));
}

#[test]
fn a_collector_that_is_away_costs_a_warning() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}/flaskr.sqlite", directory.path().display());
    let settings = [
        ("BLOG_DATABASE_URL", url.as_str()),
        ("BLOG_DRAIN_SECONDS", "0"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1"),
        ("OTEL_BSP_SCHEDULE_DELAY", "20"),
    ];
    let mut program = Program::start(&["serve"], &settings);
    let warning = "failed to send traces to the collector";
    for _ in 0..3 {
        assert_eq!(get(program.pages, "/").0, 200);
        eventually("it is logged", || program.log().contains(warning).then_some(()));
    }
    program.terminate();
    assert!(program.wait().success());
    assert_eq!(program.log().matches(warning).count(), 1, "{}", program.log());
}

#[test]
fn a_collector_that_it_cannot_speak_to_is_told_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}/flaskr.sqlite", directory.path().display());
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector:4318");
    let program = Program::start(&["serve"], &[("BLOG_DATABASE_URL", &url), endpoint]);
    assert!(program.log().contains("must begin with http://"), "{}", program.log());
    assert_eq!(get(program.pages, "/").0, 200);
}
