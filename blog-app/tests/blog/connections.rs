//! How a connection ends if its request was too long.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::program::Program;

fn place() -> (tempfile::TempDir, Program) {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}/flaskr.sqlite", directory.path().display());
    (directory, Program::start(&["serve"], &[("BLOG_DATABASE_URL", &url)]))
}

/// Sends everything, then reads to the end of the connection.
fn exchange(program: &Program, head: &str, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(program.pages).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let type_of = "Content-Type: application/x-www-form-urlencoded";
    stream.write_all(format!("{head}Host: x\r\n{type_of}\r\n\r\n").as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut answer = String::new();
    // A reset instead of an end is an error here.
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_body_that_is_too_long_ends_the_connection_properly() {
    let (_directory, program) = place();
    for size in [17 * 1024, 100_000, 1_100_000, 10 << 20] {
        let head = format!("POST /auth/login HTTP/1.1\r\nContent-Length: {size}\r\n");
        let answer = exchange(&program, &head, &vec![b'x'; size]);
        assert!(answer.starts_with("HTTP/1.1 413 "), "{size}: {answer}");
        assert!(answer.contains("\r\nconnection: close\r\n"), "{size}: {answer}");
        assert!(answer.ends_with("</html>") || answer.ends_with("</html>\n"), "{size}: {answer}");
    }
    let chunk = [b"10000\r\n".as_slice(), &[b'x'; 0x10000], b"\r\n"].concat();
    let body = [chunk.repeat(4), b"0\r\n\r\n".to_vec()].concat();
    let answer = exchange(&program, "POST /auth/login HTTP/1.1\r\nTransfer-Encoding: chunked\r\n", &body);
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("\r\nconnection: close\r\n"), "{answer}");
}

#[test]
fn unread_body_ends_the_connection_properly_with_every_answer() {
    let (_directory, program) = place();
    for (path, status) in [("/no/where", "404"), ("/hello", "405"), ("/auth/logout", "302")] {
        let head = format!("POST {path} HTTP/1.1\r\nContent-Length: 1100000\r\n");
        let answer = exchange(&program, &head, &vec![b'x'; 1_100_000]);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {answer}");
        assert!(answer.contains("\r\nconnection: close\r\n"), "{path}: {answer}");
    }
}

#[test]
fn who_asks_before_sending_too_much_is_refused_at_once() {
    let (_directory, program) = place();
    let head = "POST /auth/login HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 99999999\r\n";
    let answer = exchange(&program, head, b"");
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[test]
fn after_a_small_unread_body_the_connection_goes_on() {
    let (_directory, program) = place();
    let two = "POST /no/where HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabcdeGET /hello HTTP/1.1\r\nConnection: close\r\n";
    let answer = exchange(&program, two, b"");
    assert!(answer.contains("404") && answer.ends_with("Hello, World!"), "{answer}");
}
