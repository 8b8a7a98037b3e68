//! Runs the commands of `docs/blog.md` as its readers type them.

use std::path::Path;
use std::process::{Command, Stdio};

use super::{Program, get};

/// Input for password prompts.
const PASSWORD: &str = "a password\n";

/// What a block needs to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    Nothing,
    MySql,
}

/// The page's blocks, each a list of its commands.
pub fn blocks(needs: Needs) -> Vec<Vec<String>> {
    let page = include_str!("../../../docs/blog.md");
    let blocks = page.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let all: Vec<Vec<String>> = blocks.map(commands).collect();
    assert!(all.len() >= 5 && all.iter().all(|block| !block.is_empty()), "{all:?}");
    all.into_iter().filter(|block| needs_of(block) == needs).collect()
}

fn commands(block: &str) -> Vec<String> {
    let lines = block.lines().map(|line| line.split(" # ").next().unwrap_or_default().trim().to_owned());
    lines.filter(|line| !line.is_empty()).collect()
}

fn needs_of(block: &[String]) -> Needs {
    let mysql = ["BLOG_DATABASE_HOST=", "discard-previous-password"];
    let named = block.iter().any(|line| mysql.iter().any(|word| line.contains(word)));
    if named { Needs::MySql } else { Needs::Nothing }
}

/// Runs each command in this directory; exports hold for later commands.
///
/// One that serves must serve.
pub fn run_block(block: &[String], directory: &Path, settings: &[(&str, &str)]) {
    let mut exports = String::new();
    for line in block {
        let line = line.replace("cargo run -p blog-app", "blog-app");
        if line.starts_with("export ") {
            exports += &format!("{line}\n");
            continue;
        }
        let mut shell = shell(&format!("set -e\n{exports}exec {line}"), directory, settings);
        if matches!(line.as_str(), "blog-app" | "blog-app serve") {
            let program = Program::spawn(shell);
            let (status, page) = get(program.pages, "/");
            assert!(status == 200 && page.contains("<h1>Posts</h1>"), "{line}: {page}");
            continue;
        }
        let mut child = shell.stderr(Stdio::piped()).spawn().unwrap();
        // A command that doesn't read it may have ended already.
        let _ = std::io::Write::write_all(&mut child.stdin.take().unwrap(), PASSWORD.as_bytes());
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// Puts the built program first on the PATH.
fn shell(script: &str, directory: &Path, settings: &[(&str, &str)]) -> Command {
    let program = Path::new(env!("CARGO_BIN_EXE_blog-app"));
    let path = format!("{}:/usr/bin:/bin", program.parent().unwrap().display());
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).env_clear().env("PATH", path).envs(settings.iter().copied());
    shell.current_dir(directory).stdin(Stdio::piped()).stdout(Stdio::null());
    shell
}
