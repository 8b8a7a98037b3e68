//! Every command of the README is run.

use e2e::{shell, shell_blocks};

/// Run by `make test` itself, by whoever reads this, or never ending.
const RUN_ELSEWHERE: [&str; 4] = ["make up", "make test", "make down", "cargo run -p blog-app"];

fn commands() -> Vec<String> {
    shell_blocks(include_str!("../../../README.md"))
        .into_iter()
        .flat_map(str::lines)
        .map(|line| line.split(" # ").next().unwrap_or_default().trim().to_owned())
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect()
}

#[test]
fn every_command_of_the_readme_works() {
    let all = commands();
    assert!(all.len() >= 8, "only {} commands were found: {all:?}", all.len());
    let previous = shell("kubectl config current-context");
    assert!(shell("kubectl config use-context kind-flaskblog").status.success());
    for command in all.iter().filter(|command| !RUN_ELSEWHERE.contains(&command.as_str())) {
        // What runs until it is stopped is stopped after a while, and must have run until then.
        let endless = command.contains("port-forward") || command.ends_with("--watch");
        let line = if endless { format!("timeout 5 {command}") } else { command.clone() };
        let result = shell(&line);
        let ok = result.status.success() || (endless && result.status.code() == Some(124));
        assert!(ok, "{command}: {}", String::from_utf8_lossy(&result.stderr));
    }
    if previous.status.success() {
        let context = String::from_utf8_lossy(&previous.stdout).trim().to_owned();
        let _ = shell(&format!("kubectl config use-context {context:?}"));
    }
}
