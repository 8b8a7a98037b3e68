//! Imports into a file that doesn't exist yet, and sources that can't be imported.

use std::path::Path;

use super::program::run;
use crate::suite::execute;
use crate::suite::transfer::flaskr;

fn import(arguments: &[&str], url: &str) -> (bool, String) {
    let output = run(&[&["import"], arguments].concat(), &[("BLOG_DATABASE_URL", url)]);
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (output.status.success(), text)
}

fn url(directory: &Path) -> String {
    format!("sqlite:{}", directory.join("new/flaskr.sqlite").display())
}

fn files(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory.join("new")).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[tokio::test]
async fn import_makes_a_missing_file_and_a_dry_run_makes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let source = flaskr(directory.path()).await;
    std::fs::create_dir(directory.path().join("new")).unwrap();
    let (source, url) = (source.to_str().unwrap(), url(directory.path()));
    let (ok, text) = import(&["--dry-run", source], &url);
    assert!(ok && text.contains("would import 2 users and 2 posts"), "{text}");
    assert!(text.contains("were left out: 11"), "{text}");
    assert_eq!(files(directory.path()), Vec::<String>::new());
    let (ok, text) = import(&["/no/where"], &url);
    assert!(!ok && text.contains("failed to read /no/where"), "{text}");
    assert_eq!(files(directory.path()), Vec::<String>::new());
    let (ok, text) = import(&[source], &url);
    assert!(ok && text.contains("imported 2 users and 2 posts"), "{text}");
    let (ok, text) = import(&["--dry-run", source], &url);
    assert!(ok && text.contains("would import 0 users and 0 posts\n4 rows were there already"), "{text}");
}

#[tokio::test]
async fn no_other_command_makes_a_database_by_looking() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("new")).unwrap();
    let url = url(directory.path());
    for arguments in [&["user", "list"][..], &["export"], &["check-config"]] {
        let output = run(arguments, &[("BLOG_DATABASE_URL", &url)]);
        assert_eq!(files(directory.path()), Vec::<String>::new(), "{arguments:?}: {output:?}");
    }
    let output = run(&["user", "list"], &[("BLOG_DATABASE_URL", &url)]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && text.contains("no database exists in "), "{text}");
}

#[tokio::test]
async fn rows_that_cannot_be_taken_are_named_and_end_with_an_error() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("new")).unwrap();
    let source = directory.path().join("odd.sqlite");
    let database = crate::backend::connect(&format!("sqlite:{}", source.display()));
    for statement in [
        "CREATE TABLE user (id INTEGER PRIMARY KEY, username TEXT, password TEXT)",
        "CREATE TABLE post (id INTEGER PRIMARY KEY, author_id INTEGER, \
         created TIMESTAMP DEFAULT CURRENT_TIMESTAMP, title TEXT, body TEXT)",
        "INSERT INTO user VALUES (-5, 'u', 'x'), (0, 'v', 'x'), (1, 'w', 'x')",
        "INSERT INTO post (id, author_id, title, body) VALUES (-7, -5, 't', 'b'), (2, 1, 't', 'b')",
    ] {
        execute(&database, statement).await;
    }
    database.close().await;
    let (ok, text) = import(&[source.to_str().unwrap()], &url(directory.path()));
    assert!(!ok && text.contains("3 rows are in the way; nothing was imported"), "{text}");
    for row in
        ["user -5 (u): its id is not positive", "user 0 (v): its id", "post -7: its id is not positive"]
    {
        assert!(text.contains(row), "{row} is not in {text}");
    }
}
