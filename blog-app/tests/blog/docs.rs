//! Runs every command of `docs/blog.md` that needs no server.
//!
//! The MySQL suite runs the others.

use crate::program::docs::{Needs, blocks, run_block};
use crate::program::run_with;
use crate::suite::transfer::flaskr;

/// Runs them in one directory, from top to bottom.
///
/// A Flaskr blog to import and a user to disable exist beforehand.
#[tokio::test]
async fn every_command_of_the_page_that_needs_no_server_works() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("instance")).unwrap();
    flaskr(&directory.path().join("instance")).await;
    let url = format!("sqlite:{}", directory.path().join("flaskr.sqlite").display());
    let settings = [("BLOG_DATABASE_URL", url.as_str())];
    assert!(run_with(&["migrate"], &settings, "").status.success());
    assert!(run_with(&["user", "add", "mallory"], &settings, "x").status.success());
    for block in blocks(Needs::Nothing) {
        run_block(&block, directory.path(), &[]);
    }
}
