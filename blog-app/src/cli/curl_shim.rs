//! A limited `curl` and `sh` for health checks.
//!
//! The original's Compose file runs its image's curl, so this image must provide one. Links of these names in the image
//! lead to this program.
//!
//! Only this machine is queried, and a shell line is one call of curl, so an intruder finds no tool here.

use std::ffi::{OsStr, OsString};
use std::net::IpAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use axum::http::Uri;
use clap::Parser;
use tokio::time::timeout;

use super::check_ready::ask;

/// Exit codes of curl (see its manual page).
mod codes {
    pub(super) const UNSUPPORTED: u8 = 1;
    pub(super) const NO_CONNECTION: u8 = 7;
    pub(super) const HTTP_ERROR: u8 = 22;
    pub(super) const TIMED_OUT: u8 = 28;
    /// A shell's code for a command that doesn't exist.
    pub(super) const NOT_FOUND: u8 = 127;
}

const NO_SHELL: &str = "sh: this image has no shell; it only runs health checks such as `curl --fail \
http://localhost:5000/hello || exit 1`. To inspect a running pod: kubectl debug -it POD --image=busybox --target=blog";

/// Query the blog on this machine, as curl would. For health checks only.
#[derive(Debug, Parser)]
#[command(name = "curl", disable_version_flag = true)]
struct Request {
    /// Fail if the response is an error.
    #[arg(short, long)]
    fail: bool,
    /// Don't print errors.
    #[arg(short, long)]
    silent: bool,
    /// Print errors in spite of --silent.
    #[arg(short = 'S', long)]
    show_error: bool,
    /// Accepted without effect: the blog doesn't redirect health checks.
    #[arg(short = 'L', long)]
    location: bool,
    /// Don't print the response; only /dev/null can be written to.
    #[arg(short, long, value_name = "FILE", value_parser = ["/dev/null"])]
    output: Option<String>,
    /// Timeout of the whole request, in seconds.
    #[arg(short, long, default_value = "3", value_name = "SECONDS")]
    max_time: f32,
    /// Address on this machine, for example http://localhost:5000/hello.
    url: String,
}

/// The foreign name under which the program was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// `curl …`
    Curl,
    /// `sh -c 'curl … || exit 1'`
    Shell,
}

impl Tool {
    /// Selects by the last component of the program's path; `None` for the program's own name.
    #[must_use]
    pub fn named(program: &OsStr) -> Option<Self> {
        match Path::new(program).file_name()?.to_str()? {
            "curl" => Some(Self::Curl),
            "sh" => Some(Self::Shell),
            _ => None,
        }
    }

    /// Runs the request and exits as the real program would.
    pub async fn run(self, arguments: impl Iterator<Item = OsString>) -> ExitCode {
        let arguments: Vec<String> =
            arguments.map(|argument| argument.to_string_lossy().into_owned()).collect();
        let line = match (self, arguments.as_slice()) {
            (Self::Curl, words) => Some(Line { words: words.to_vec(), otherwise: None }),
            (Self::Shell, [flag, line, ..]) if flag == "-c" => Line::parse(line),
            (Self::Shell, _) => None,
        };
        let Some(Line { words, otherwise }) = line else {
            eprintln!("{NO_SHELL}");
            return codes::NOT_FOUND.into();
        };
        match curl(&words).await {
            0 => ExitCode::SUCCESS,
            code => otherwise.unwrap_or(code).into(),
        }
    }
}

/// One call of curl.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    words: Vec<String>,
    /// Exit code in case of failure, from `|| exit CODE`.
    otherwise: Option<u8>,
}

impl Line {
    /// Parses `curl WORDS` with or without `|| exit CODE`; `None` for any other shell line.
    fn parse(line: &str) -> Option<Self> {
        let (call, otherwise) = match line.split_once("||") {
            Some((call, end)) => (call, Some(end.trim().strip_prefix("exit ")?.trim().parse().ok()?)),
            None => (line, None),
        };
        if call.contains(['|', '&', ';', '<', '>', '$', '`', '\\', '(']) {
            return None;
        }
        let mut words = call.split_whitespace().map(|word| word.trim_matches(['"', '\'']).to_owned());
        let program = words.next()?;
        (Tool::named(OsStr::new(&program)) == Some(Tool::Curl))
            .then(|| Self { words: words.collect(), otherwise })
    }
}

async fn curl(words: &[String]) -> u8 {
    let arguments = std::iter::once("curl").chain(words.iter().map(String::as_str));
    let request = match Request::try_parse_from(arguments) {
        Ok(request) => request,
        Err(error) => {
            let _ = error.print();
            return u8::try_from(error.exit_code()).unwrap_or(codes::UNSUPPORTED);
        }
    };
    match asked(&request).await {
        Ok(body) => {
            if request.output.is_none() {
                print!("{body}");
            }
            0
        }
        Err((code, reason)) => {
            if !request.silent || request.show_error {
                eprintln!("curl: ({code}) {reason}");
            }
            code
        }
    }
}

async fn asked(request: &Request) -> Result<String, (u8, String)> {
    let (address, path) = on_this_machine(&request.url).map_err(|reason| (codes::UNSUPPORTED, reason))?;
    let patience = Duration::try_from_secs_f32(request.max_time)
        .map_err(|error| (codes::UNSUPPORTED, format!("--max-time: {error}")))?;
    let answer = timeout(patience, ask(&address, &path))
        .await
        .map_err(|_| (codes::TIMED_OUT, format!("no answer from {address} within {} s", request.max_time)))?
        .map_err(|error| (codes::NO_CONNECTION, format!("failed to query {address}: {error}")))?;
    match answer.status.parse::<u16>() {
        Ok(status) if status >= 400 && request.fail => {
            Err((codes::HTTP_ERROR, format!("{} returned {status}", request.url)))
        }
        Ok(_) => Ok(answer.body),
        Err(_) => Err((codes::UNSUPPORTED, format!("{} doesn't answer in HTTP", request.url))),
    }
}

/// Returns host with port, and the path, of a URL on this machine.
fn on_this_machine(url: &str) -> Result<(String, String), String> {
    let whole = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    let uri: Uri = whole.parse().map_err(|error| format!("{url}: {error}"))?;
    let (Some("http"), Some(host)) = (uri.scheme_str(), uri.host()) else {
        return Err(format!("{url} isn't an http address"));
    };
    let bare = host.trim_matches(['[', ']']);
    if bare != "localhost" && !bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback()) {
        return Err(format!("{host} isn't this machine, and this curl queries no other"));
    }
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    Ok((format!("{host}:{}", uri.port_u16().unwrap_or(80)), path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_for_the_shell_is_one_call_of_curl_and_nothing_else() {
        let line = |line: &str| Line::parse(line).map(|line| (line.words.join(" "), line.otherwise));
        let url = "http://localhost:5000/hello";
        assert_eq!(line(&format!("curl -f {url}")), Some((format!("-f {url}"), None)));
        assert_eq!(
            line(&format!("curl --fail \"{url}\" || exit 1")),
            Some((format!("--fail {url}"), Some(1)))
        );
        assert_eq!(line("/usr/bin/curl x||exit 3"), Some(("x".into(), Some(3))));
        for other in
            ["", "ls", "curl a; ls", "curl a | sh", "curl a || reboot", "curl $(ls)", "curl a > /etc/b"]
        {
            assert_eq!(line(other), None, "{other}");
        }
    }

    #[test]
    fn only_this_machine_is_asked() {
        let asked = |url: &str| on_this_machine(url).map(|(address, path)| format!("{address} {path}"));
        assert_eq!(asked("http://localhost:5000/hello?a=b"), Ok("localhost:5000 /hello?a=b".into()));
        assert_eq!(asked("localhost:5000"), Ok("localhost:5000 /".into()));
        assert_eq!(asked("http://127.0.0.1"), Ok("127.0.0.1:80 /".into()));
        assert_eq!(asked("http://[::1]:5000/"), Ok("[::1]:5000 /".into()));
        for other in
            ["https://localhost/", "http://example.org/", "http://10.0.0.1/", "file:///etc/passwd", "http://"]
        {
            assert!(asked(other).is_err(), "{other}");
        }
    }

    #[test]
    fn the_program_has_other_names_only_where_a_link_gives_them() {
        let tool = |program: &str| Tool::named(OsStr::new(program));
        assert_eq!((tool("/bin/curl"), tool("sh")), (Some(Tool::Curl), Some(Tool::Shell)));
        assert_eq!((tool("/blog-app"), tool("")), (None, None));
    }
}
