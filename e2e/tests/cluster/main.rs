//! On the kind cluster of `make up`. `schedule` decides which tests run at the same time.

#![expect(clippy::unwrap_used, reason = "a failed unwrap in a test is a failed test, also in its helpers")]

mod autoscaling;
mod browser;
mod certificates;
mod charts;
mod credentials;
mod database;
mod day_two;
mod exposure;
mod faults;
mod logging;
mod manifests;
mod matrix;
mod monitoring;
mod operator;
mod original;
mod quickstart;
mod readme;
mod reboots;
mod recommendation;
mod schedule;
mod test_blog;
mod truth;
mod user;
mod without_cluster;

/// A test that acquires nothing would run beside one that needs the cluster for itself.
#[test]
fn every_test_first_acquires_what_it_needs() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cluster");
    let mut count = 0;
    for file in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        // These have tests of their own logic only.
        let is_other = file.is_dir() || file.ends_with("schedule.rs") || file.ends_with("main.rs");
        let text = if is_other { String::new() } else { std::fs::read_to_string(&file).unwrap() };
        for test in text.split("test]\n").skip(1) {
            let body = test.split_once(" {\n").unwrap().1;
            let first = body.lines().find(|line| !line.trim().starts_with("//")).unwrap();
            assert!(first.contains("acquire"), "{}: {first}", file.display());
            count += 1;
        }
    }
    assert!(count > 50, "only {count} tests were found");
}
