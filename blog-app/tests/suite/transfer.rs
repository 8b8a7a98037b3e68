//! Export, import, and the administrator's commands.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use blog_app::config::DatabaseArgs;
use blog_app::config::DatabaseConfig;
use blog_app::db::Database;

use super::{Blog, execute, keys};
use crate::backend::TestDatabase;
use crate::program::{run, run_with};

/// Runs the program on this database.
///
/// Returns whether it succeeded, and its whole output.
fn program(database: &TestDatabase, arguments: &[&str]) -> (bool, String) {
    program_with(database, arguments, "")
}

fn program_with(database: &TestDatabase, arguments: &[&str], input: &str) -> (bool, String) {
    let output = run_with(arguments, &[("BLOG_DATABASE_URL", &database.url)], input);
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

fn sqlite(file: &Path) -> Database {
    let url = Some(format!("sqlite:{}", file.display()));
    let args = DatabaseArgs { database_url: url, ..DatabaseArgs::default() };
    Database::lazy(&DatabaseConfig::resolve(&args, &|_| None).unwrap())
}

/// A Flaskr blog as Flask creates it: foreign keys aren't enforced there, so one post has lost its author.
pub async fn flaskr(directory: &Path) -> PathBuf {
    let path = directory.join("flaskr.sqlite");
    let database = sqlite(&path);
    for statement in [
        "CREATE TABLE user (id INTEGER PRIMARY KEY AUTOINCREMENT, username TEXT UNIQUE NOT NULL, password TEXT NOT NULL)",
        "CREATE TABLE post (id INTEGER PRIMARY KEY AUTOINCREMENT, author_id INTEGER NOT NULL, \
         created TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, title TEXT NOT NULL, body TEXT NOT NULL)",
        "INSERT INTO user VALUES (3, 'test', \
         'pbkdf2:sha256:50000$TCI4GzcX$0de171a4f4dac32e3364c7ddc7c14f3e2fa61f2d17574483f7ffbb431b4acb2f'), \
         (5, 'Ünï 🍣', 'x')",
        "INSERT INTO post VALUES (7, 3, '2018-01-01 00:00:00', 'old title', 'test\nbody 🍺'), \
         (9, 5, '2019-02-03 04:05:06', 'second', ''), (11, 99, '2019-02-03 04:05:06', 'orphan', '')",
    ] {
        execute(&database, statement).await;
    }
    database.close().await;
    path
}

async fn empty() -> (TestDatabase, tempfile::TempDir) {
    let database = TestDatabase::create().await;
    assert!(program(&database, &["migrate"]).0);
    (database, tempfile::tempdir().unwrap())
}

#[tokio::test]
async fn a_flaskr_blog_moves_in_with_its_passwords_and_addresses() {
    let (database, directory) = empty().await;
    let file = flaskr(directory.path()).await;
    let file = file.to_str().unwrap();
    let (ok, text) = program(&database, &["import", "--dry-run", file]);
    assert!(ok && text.contains("would import 2 users and 2 posts"), "{text}");
    assert!(text.contains("1 posts without an author"), "{text}");
    let (ok, text) = program(&database, &["import", file]);
    assert!(
        ok && text.contains("imported 2 users and 2 posts\n0 rows were there already"),
        "the dry run wrote: {text}"
    );
    let (ok, text) = program(&database, &["import", file]);
    assert!(ok && text.contains("imported 0 users and 0 posts\n4 rows were there already"), "{text}");
    let blog = Blog::on(Arc::new(database), keys("key", None));
    let page = blog.browser().get("/7").await;
    assert!(page.contains("by test on 2018-01-01") && page.contains("test\nbody 🍺"), "{}", page.body);
    let mut old_user = blog.browser();
    let form = [("username", "test"), ("password", "test")];
    assert_eq!(old_user.post("/auth/login", &form).await.location(), "/");
    assert_eq!(old_user.post("/create", &[("title", "new"), ("body", "")]).await.location(), "/");
    assert_eq!(old_user.get("/").await.titles(), ["new", "second", "old title"]);
}

#[tokio::test]
async fn an_import_that_meets_something_else_changes_nothing_and_says_what_it_is() {
    let (database, directory) = empty().await;
    let blog = Blog::on(Arc::new(database), keys("key", None));
    blog.execute("INSERT INTO user (id, username, password) VALUES (1, 'test', 'x'), (5, 'somebody', 'x')")
        .await;
    blog.execute("INSERT INTO post (id, author_id, title, body) VALUES (9, 1, 'mine', '')").await;
    let file = flaskr(directory.path()).await;
    let (ok, text) = program(&blog.database, &["import", file.to_str().unwrap()]);
    assert!(!ok && text.contains("3 rows are in the way; nothing was imported"), "{text}");
    for words in [
        "user 3 (test): the blog has user 1 (test)",
        "user 5 (Ünï 🍣): the blog has user 5",
        "post 9: the blog has",
    ] {
        assert!(text.contains(words), "{words} is not in {text}");
    }
    assert_eq!(blog.count("SELECT COUNT(*) FROM user").await, 2);
    assert_eq!(blog.count("SELECT COUNT(*) FROM post").await, 1);
}

#[tokio::test]
async fn what_is_exported_and_imported_is_the_same() {
    let (database, directory) = empty().await;
    let file = flaskr(directory.path()).await;
    assert!(program(&database, &["import", file.to_str().unwrap()]).0);
    let first = directory.path().join("first.jsonl");
    let second = directory.path().join("second.jsonl");
    let (ok, text) = program(&database, &["export", first.to_str().unwrap()]);
    assert!(ok && text.contains("exported 2 users and 2 posts"), "{text}");
    let (ok, text) = program(&database, &["export", first.to_str().unwrap()]);
    assert!(!ok && text.contains("failed to create"), "an existing file is not overwritten: {text}");
    let (other, _directory) = empty().await;
    let (ok, text) = program(&other, &["import", first.to_str().unwrap()]);
    assert!(ok && text.contains("imported 2 users and 2 posts"), "{text}");
    assert!(program(&other, &["export", second.to_str().unwrap()]).0);
    assert_eq!(std::fs::read(&first).unwrap(), std::fs::read(&second).unwrap());
}

#[tokio::test]
async fn a_damaged_or_foreign_file_is_refused_and_nothing_is_imported() {
    let (database, directory) = empty().await;
    let whole = "{\"flaskblog_export\":1}\n{\"user\":{\"id\":1,\"username\":\"a\",\"password\":\"x\"}}\n{\"end\":{\"users\":1,\"posts\":0}}\n";
    let file = directory.path().join("export.jsonl");
    let import = |content: &str| {
        std::fs::write(&file, content).unwrap();
        program(&database, &["import", file.to_str().unwrap()])
    };
    for (content, words) in [
        (whole[..whole.len() - 35].to_owned(), "cut off"),
        (whole[..whole.len() - 3].to_owned(), "cut off"),
        (whole.replace("\"users\":1", "\"users\":2"), "the export is incomplete"),
        (whole.replace("\"username\"", "\"name\""), "failed to read line 2"),
        (whole.replace("export\":1", "export\":9"), "format 9"),
        ("hello".to_owned(), "cut off"),
        ("hello\n".to_owned(), "neither a SQLite database nor an export"),
        (String::new(), "neither a SQLite database nor an export"),
    ] {
        let (ok, text) = import(&content);
        assert!(!ok && text.contains(words), "{content:?}: {text}");
    }
    let (ok, text) = import(whole);
    assert!(ok && text.contains("imported 1 users and 0 posts\n0 rows"), "{text}");
}

#[tokio::test]
async fn users_are_made_listed_disabled_and_given_passwords_at_the_command_line() {
    let (database, _directory) = empty().await;
    let blog = Blog::on(Arc::new(database), keys("key", None));
    let user = |arguments: &[&str], input: &str| {
        program_with(&blog.database, &[&["user"], arguments].concat(), input)
    };
    let log_in = async |password: &str| {
        blog.browser().post("/auth/login", &[("username", "ada"), ("password", password)]).await
    };
    assert_eq!(user(&["add", "ada"], "first\n"), (true, "added ada\n".to_owned()));
    let (ok, text) = user(&["add", "ada"], "first\n");
    assert!(!ok && text.contains("User ada is already registered."), "{text}");
    assert!(user(&["add", "bob"], "\n").1.contains("Password is required."));
    let mut session = blog.browser();
    let form = [("username", "ada"), ("password", "first")];
    assert_eq!(session.post("/auth/login", &form).await.location(), "/");
    assert!(user(&["disable", "ada"], "").0);
    assert!(session.get("/").await.contains("Log In"), "the session of a disabled user ends");
    assert_eq!(log_in("first").await.flash(), "Incorrect password.");
    assert!(user(&["list"], "").1.contains("disabled  ada"));
    assert!(user(&["enable", "ada"], "").0);
    assert_eq!(log_in("first").await.location(), "/");
    assert!(user(&["set-password", "ada"], "second\n").0);
    assert_eq!(log_in("first").await.flash(), "Incorrect password.");
    assert_eq!(log_in("second").await.location(), "/");
    assert!(user(&["disable", "nobody"], "").1.contains("user nobody doesn't exist"));
}

#[tokio::test]
async fn check_config_says_what_the_settings_mean_and_whether_they_work() {
    let (database, directory) = empty().await;
    let key = directory.path().join("key");
    std::fs::write(&key, [7; 64]).unwrap();
    let settings =
        [("BLOG_DATABASE_URL", database.url.as_str()), ("BLOG_SESSION_KEY_FILE", key.to_str().unwrap())];
    let output = run(&["check-config", "--title", "My Blog", "--registration", "closed"], &settings);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    for line in [
        "site: My Blog; registration is closed; posts are plain text",
        "schema: version 4",
        "session key: in ",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
    std::fs::write(&key, "short").unwrap();
    let output = run(&["check-config"], &settings);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!output.status.success() && text.contains("FAIL  session key:"), "{text}");
    let away = [("BLOG_DATABASE_URL", "mysql://u:s3cret@127.0.0.1:1/d"), settings[1]];
    let output = run(&["check-config"], &away);
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(text.contains("FAIL  schema:") && !text.contains("s3cret"), "{text}");
}

#[tokio::test]
async fn an_export_holds_nothing_that_a_terminal_acts_on() {
    let (database, directory) = empty().await;
    let blog = Blog::on(Arc::new(database), keys("key", None));
    let odd = "a\u{1b}[2J\u{9b}2J\u{7f}\u{b}b \u{1f363}";
    blog.execute(&format!("INSERT INTO user (id, username, password) VALUES (1, '{odd}', 'x')")).await;
    blog.execute(&format!("INSERT INTO post (id, author_id, title, body) VALUES (1, 1, '{odd}', '{odd}')"))
        .await;
    let bad = |character: char| character.is_control() && character != '\n';
    let (ok, listed) = program(&blog.database, &["user", "list"]);
    assert!(ok && !listed.contains(bad) && listed.contains("a\\u{1b}[2J"), "{listed:?}");
    let (ok, export) = program(&blog.database, &["export"]);
    assert!(ok && !export.contains(bad), "{export:?}");
    let file = directory.path().join("odd.jsonl");
    let lines = export.lines().filter(|line| line.starts_with('{'));
    std::fs::write(&file, lines.map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    let (other, _directory) = empty().await;
    for expected in
        ["imported 1 users and 1 posts", "imported 0 users and 0 posts\n2 rows were there already"]
    {
        let (ok, text) = program(&other, &["import", file.to_str().unwrap()]);
        assert!(ok && text.contains(expected), "{text}");
        assert!(text.contains("2 rows have characters that can't be shown"), "{text}");
    }
    let other = Blog::on(Arc::new(other), keys("key", None));
    assert_eq!(other.text("SELECT title FROM post").await, "a[2J2Jb \u{1f363}");
}
