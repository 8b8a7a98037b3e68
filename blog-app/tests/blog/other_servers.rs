//! Servers that don't exist or are of another kind.
//!
//! The error names the cause, and comes at once if waiting can't help.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use super::program::run;

/// A packet of MySQL's protocol.
fn send(stream: &mut TcpStream, sequence: u8, payload: &[u8]) {
    let length = u32::try_from(payload.len()).unwrap().to_le_bytes();
    let packet = [&length[..3], &[sequence], payload].concat();
    stream.write_all(&packet).unwrap();
}

fn receive(stream: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let mut head = [0; 4];
    stream.read_exact(&mut head).ok()?;
    let mut payload = vec![0; u32::from_le_bytes([head[0], head[1], head[2], 0]) as usize];
    stream.read_exact(&mut payload).ok()?;
    Some((head[3], payload))
}

const OK: &[u8] = &[0, 0, 0, 2, 0, 0, 0];
const EOF: &[u8] = &[0xfe, 0, 0, 2, 0];
const VERSION: &str = "11.8.3-MariaDB-deb13";

fn greet(stream: &mut TcpStream) {
    let mut greeting = vec![10];
    greeting.extend(VERSION.as_bytes());
    greeting.extend([0, 1, 0, 0, 0]);
    greeting.extend(b"12345678\0");
    // Protocol 4.1, a database at the login, authentication plugins.
    greeting.extend([0x08, 0x82, 45, 2, 0, 0x08, 0x00, 21]);
    greeting.extend([0; 10]);
    greeting.extend(b"123456789012\0mysql_native_password\0");
    send(stream, 0, &greeting);
}

/// Responds to the program's first statement as MariaDB does: one variable is unknown there.
fn answer(mut stream: TcpStream) {
    greet(&mut stream);
    let Some((sequence, _)) = receive(&mut stream) else { return };
    send(&mut stream, sequence + 1, OK);
    while let Some((_, request)) = receive(&mut stream) {
        let text = String::from_utf8_lossy(&request);
        if text.contains("max_execution_time") {
            let mut error = vec![0xff];
            error.extend(1193_u16.to_le_bytes());
            error.extend(b"#HY000Unknown system variable 'max_execution_time'");
            send(&mut stream, 1, &error);
        } else if text.contains("VERSION()") {
            let column =
                [&b"\x03def\0\0\0\x09VERSION()\0\x0c"[..], &[45, 0, 0xff, 0, 0, 0, 0xfd, 0, 0, 39, 0, 0]]
                    .concat();
            let row = [&[u8::try_from(VERSION.len()).unwrap()], VERSION.as_bytes()].concat();
            for (sequence, packet) in (1..).zip([&[1][..], &column, EOF, &row, EOF]) {
                send(&mut stream, sequence, packet);
            }
        } else if request.first() == Some(&1) {
            return;
        } else {
            send(&mut stream, 1, OK);
        }
    }
}

fn mariadb() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer(stream));
        }
    });
    port
}

#[test]
fn another_kind_of_server_is_named_at_once() {
    let url = format!("mysql://u:s3cret@127.0.0.1:{}/d", mariadb());
    let key = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(key.path(), [7; 64]).unwrap();
    let settings =
        [("BLOG_DATABASE_URL", url.as_str()), ("BLOG_SESSION_KEY_FILE", key.path().to_str().unwrap())];
    for command in ["migrate", "serve"] {
        let started = Instant::now();
        let output = run(&[command], &settings);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{command}: {message}");
        let words =
            format!("the database server is MariaDB (version {VERSION}): this blog needs MySQL 8.0 or newer");
        assert!(message.contains(&words) && !message.contains("s3cret"), "{command}: {message}");
        assert!(!message.contains("max_execution_time"), "a symptom is logged as the cause: {message}");
        assert!(started.elapsed() < Duration::from_secs(30), "{command} waited {:?}", started.elapsed());
    }
}

fn migrate(host: &str, settings: &[(&str, &str)]) -> (String, String, Duration) {
    let (url, words) = (format!("mysql://u:s3cret@{host}/d"), tempfile::NamedTempFile::new().unwrap());
    let base =
        [("BLOG_DATABASE_URL", url.as_str()), ("BLOG_TERMINATION_LOG", words.path().to_str().unwrap())];
    let started = Instant::now();
    let output = run(&["migrate"], &[&base, settings].concat());
    assert_eq!(output.status.code(), Some(1));
    let log = String::from_utf8(output.stderr).unwrap();
    (log, std::fs::read_to_string(words.path()).unwrap(), started.elapsed())
}

#[test]
fn migrate_gives_up_early_on_nobody_if_it_may() {
    for (host, cause) in [
        ("127.0.0.1:1", "no server listens at its port"),
        ("nowhere.invalid:3306", "the database's host name can't be resolved"),
    ] {
        let (log, words, took) = migrate(host, &[("BLOG_MIGRATE_PATIENCE", "2")]);
        assert!(took < Duration::from_secs(60), "{host} took {took:?}");
        assert!(log.contains("check host and port") && log.contains(cause), "{log}");
        assert!(words.starts_with("gave up on the database after 2 s") && words.contains(cause), "{words}");
        assert!(!log.contains("s3cret") && !log.contains("pool timed out"), "{log}");
    }
}

#[test]
fn migrate_reports_the_present_cause_while_it_waits() {
    let (log, words, _) = migrate("127.0.0.1:1", &[("BLOG_MIGRATE_TIMEOUT", "6s")]);
    let waiting = log.lines().find(|line| line.contains("waiting for the database")).unwrap_or_default();
    assert!(waiting.contains("no server listens at its port"), "{log}");
    assert!(words.contains("gave up on the database after 6 s"), "{words}");
}
