//! The test tiers that a change affects.

#![expect(clippy::unwrap_used, reason = "a failed unwrap in a test is a failed test, also in its helpers")]

use std::{
    io::Write,
    process::{Command, Stdio},
};

use xtask::root;

/// The tiers of changed files, as `dev/test.sh --changed` runs them.
fn changed_tiers(paths: &str) -> Vec<String> {
    let mut child = Command::new(root().join("dev/changed-tiers.sh"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(paths.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn changed_file_affects_the_tiers_that_read_it() {
    assert_eq!(changed_tiers(""), [""; 0]);
    assert_eq!(changed_tiers("docs/pains.md\n"), ["quick"]);
    assert_eq!(changed_tiers("docs/logging.md\n"), ["quick", "cluster"]);
    assert_eq!(changed_tiers("blog-app/tests/suite/a.rs\noperator/tests/apiserver/x.rs\n"), ["quick", "api"]);
    let all = ["quick", "api", "mysql", "charts", "logging", "cluster"];
    for unknown in ["new/folder", "Cargo.lock", "operator/src/lib.rs", "dev/lib.sh"] {
        assert_eq!(changed_tiers(&format!("{unknown}\n")), all, "{unknown}");
    }
}
