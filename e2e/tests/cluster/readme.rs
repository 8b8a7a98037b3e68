//! Every command of the README is run.

use e2e::{kubectl, shell, shell_blocks};

use crate::test_blog::TestBlog;

/// These run `make test`, are run by it, or don't end.
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
    // Alone, as it upgrades the operator.
    let _blog = TestBlog::acquire_alone();
    let all = commands();
    assert!(all.len() >= 8, "only {} commands were found: {all:?}", all.len());
    // Its commands name no context, and the user's own configuration stays as it is.
    let config = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(config.path(), kubectl(&["config", "view", "--minify", "--flatten"])).unwrap();
    let environment = format!("export KUBECONFIG={};", config.path().display());
    for command in all.iter().filter(|command| !RUN_ELSEWHERE.contains(&command.as_str())) {
        // What runs until it is stopped is stopped after a while, and must have run until then.
        let endless = command.contains("port-forward") || command.ends_with("--watch");
        let line = if endless { format!("timeout 5 {command}") } else { command.clone() };
        let line = format!("{environment} {line}");
        let result = shell(&line);
        let ok = result.status.success() || (endless && result.status.code() == Some(124));
        assert!(ok, "{command}: {}", String::from_utf8_lossy(&result.stderr));
    }
}
