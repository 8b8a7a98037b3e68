//! Runs every command of `docs/blog.md` that needs MySQL.
//!
//! The suite without a server runs the others.

use crate::backend::{Account, TestDatabase, as_root};
use crate::program::docs::{Needs, blocks, run_block};

/// Replaces the page's names by those of this test.
#[tokio::test]
async fn every_command_of_the_page_that_needs_mysql_works() {
    let database = TestDatabase::create().await;
    let account = Account::create(&database, "a password").await;
    let directory = tempfile::tempdir().unwrap();
    as_root(&format!("GRANT APPLICATION_PASSWORD_ADMIN ON *.* TO {}@'%'", account.user)).await;
    let settings = account.settings(&database, directory.path(), "a password");
    let settings: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let file = |name: &str| directory.path().join(name).display().to_string();
    let stands_for = [
        ("BLOG_DATABASE_HOST=db", format!("BLOG_DATABASE_HOST={}", account.host)),
        ("BLOG_DATABASE_NAME=flaskr", format!("BLOG_DATABASE_NAME={}", database.name())),
        ("BLOG_DATABASE_USER=flask", format!("BLOG_DATABASE_USER={}", account.user)),
        ("/run/secrets/db", file("password")),
        ("/run/secrets/key", file("key")),
    ];
    let blocks = blocks(Needs::MySql);
    assert!(!blocks.is_empty());
    for block in blocks {
        let commands = block
            .iter()
            .map(|line| stands_for.iter().fold(line.clone(), |line, (name, ours)| line.replace(name, ours)));
        run_block(&commands.collect::<Vec<_>>(), directory.path(), &settings);
    }
}
