//! Every command of `docs/blog.md` that needs MySQL is run; the others are in the suite without a server.

use crate::backend::{Account, TestDatabase};
use crate::program::docs::{Needs, blocks, run_block};

/// The page's names stand for those of this test.
#[tokio::test]
async fn every_command_of_the_page_that_needs_mysql_works() {
    let database = TestDatabase::create().await;
    let account = Account::create(&database, "a password").await;
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &[u8]| {
        let path = directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    };
    let (password, key) = (write("db", b"a password"), write("key", &[7; 64]));
    let stands_for = [
        ("BLOG_DATABASE_HOST=db", format!("BLOG_DATABASE_HOST={}", account.host)),
        ("BLOG_DATABASE_NAME=flaskr", format!("BLOG_DATABASE_NAME={}", database.name())),
        ("BLOG_DATABASE_USER=flask", format!("BLOG_DATABASE_USER={}", account.user)),
        ("/run/secrets/db", password),
        ("/run/secrets/key", key),
    ];
    let blocks = blocks(Needs::MySql);
    assert!(!blocks.is_empty());
    for block in blocks {
        let commands = block
            .iter()
            .map(|line| stands_for.iter().fold(line.clone(), |line, (name, ours)| line.replace(name, ours)));
        run_block(&commands.collect::<Vec<_>>(), directory.path(), &[("BLOG_DATABASE_PORT", &account.port)]);
    }
}
