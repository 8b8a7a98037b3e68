//! Load by wrk, and what it measured.

use std::{path::Path, process::Command};

/// One measurement.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    pub per_second: f64,
    /// Latencies in milliseconds.
    pub p50: f64,
    pub p99: f64,
    /// Answers that weren't what they should be.
    pub errors: u64,
}

/// Loads an address for some seconds with 32 connections.
pub fn load(url: &str, seconds: u32, cookie: Option<&str>, script: Option<&Path>) -> Figures {
    let mut command = Command::new("wrk");
    command.args(["-t1", "-c32", &format!("-d{seconds}s"), "--latency", "--timeout", "10s"]);
    if let Some(cookie) = cookie {
        command.args(["-H", &format!("Cookie: session={cookie}")]);
    }
    if let Some(script) = script {
        command.arg("-s").arg(script);
    }
    let output = command.arg(url).output().expect("wrk is installed");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "wrk failed: {text}{}", String::from_utf8_lossy(&output.stderr));
    parse(&text)
}

fn parse(text: &str) -> Figures {
    let mut figures = Figures::default();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["50%", value] => figures.p50 = milliseconds(value),
            ["99%", value] => figures.p99 = milliseconds(value),
            ["Requests/sec:", value] => figures.per_second = value.parse().unwrap_or(0.0),
            ["Non-2xx", "or", "3xx", "responses:", value] => {
                figures.errors = value.parse().unwrap_or(u64::MAX);
            }
            _ => {}
        }
    }
    figures
}

fn milliseconds(text: &str) -> f64 {
    let (number, factor) = match text {
        text if text.ends_with("us") => (text.trim_end_matches("us"), 0.001),
        text if text.ends_with("ms") => (text.trim_end_matches("ms"), 1.0),
        text => (text.trim_end_matches('s'), 1000.0),
    };
    number.parse::<f64>().map_or(f64::NAN, |number| number * factor)
}

/// The median by requests a second.
pub fn median(mut all: Vec<Figures>) -> Figures {
    all.sort_by(|one, other| one.per_second.total_cmp(&other.per_second));
    let errors = all.iter().map(|one| one.errors).sum();
    Figures { errors, ..all[all.len() / 2].clone() }
}
