//! A new password for the account while the blog is in use.

use std::path::PathBuf;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use blog_app::config::DatabaseArgs;
use blog_app::config::DatabaseConfig;
use blog_app::db::Database;
use blog_app::store::schema;
use sqlx::{Connection, MySqlConnection};
use tokio::task::JoinHandle;

use crate::backend::{Account, TestDatabase, as_root};
use crate::program::{Program, eventually, get, post, run};

const OLD: &str = "old-s3cret";
/// Quotes and backslashes must not end the SQL string.
const NEW: &str = "new-s3cret it's \\' a \\ \"word\" 🍣";

struct Rotation {
    database: TestDatabase,
    account: Account,
    directory: tempfile::TempDir,
    settings: Vec<(&'static str, String)>,
}

impl Rotation {
    /// Before the rotation: the old password is the only one.
    async fn new() -> Self {
        let database = TestDatabase::create().await;
        let account = Account::create(&database, OLD).await;
        as_root(&format!("GRANT APPLICATION_PASSWORD_ADMIN ON *.* TO {}@'%'", account.user)).await;
        let directory = tempfile::tempdir().unwrap();
        let mut settings = account.settings(&database, directory.path(), OLD);
        settings.push((
            "BLOG_DATABASE_PREVIOUS_PASSWORD_FILE",
            directory.path().join("previous").display().to_string(),
        ));
        settings.push(("BLOG_MIGRATE_TIMEOUT", "3s".to_owned()));
        let rotation = Self { database, account, directory, settings };
        rotation.succeed("migrate");
        rotation
    }

    /// The operator's step of a rotation: only the files change.
    fn write_files(&self, previous: &str, current: &str) {
        std::fs::write(self.directory.path().join("previous"), previous).unwrap();
        std::fs::write(self.directory.path().join("password"), current).unwrap();
    }

    fn borrowed(&self) -> Vec<(&str, &str)> {
        self.settings.iter().map(|(name, value)| (*name, value.as_str())).collect()
    }

    /// Returns whether it succeeded, and its whole output, which never holds a password.
    fn run(&self, command: &str) -> (bool, String) {
        let Output { status, stdout, stderr } = run(&[command, "--log", "trace"], &self.borrowed());
        let text = String::from_utf8([stdout, stderr].concat()).unwrap();
        assert!(!text.contains("s3cret"), "{text}");
        (status.success(), text)
    }

    fn succeed(&self, command: &str) -> String {
        let (ok, text) = self.run(command);
        assert!(ok, "{command}: {text}");
        text
    }

    async fn accepts(&self, password: &str) -> bool {
        let Account { user, host, port } = &self.account;
        let options = sqlx::mysql::MySqlConnectOptions::new().host(host).port(port.parse().unwrap());
        let login = options.username(user).password(password);
        MySqlConnection::connect_with(&login).await.is_ok()
    }

    fn config(&self) -> DatabaseConfig {
        let file = |name| Some::<PathBuf>(self.directory.path().join(name));
        let args = DatabaseArgs {
            database_host: Some(self.account.host.clone()),
            database_port: Some(self.account.port.clone()),
            database_name: Some(self.database.name().to_owned()),
            database_user: Some(self.account.user.clone()),
            database_password_file: file("password"),
            database_previous_password_file: file("previous"),
            ..DatabaseArgs::default()
        };
        DatabaseConfig::resolve(&args, &|_| None).unwrap()
    }
}

/// Runs statements without a pause, on an existing pool and on pools that connect only after the rotation.
struct Use {
    ended: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    users: Vec<JoinHandle<()>>,
}

impl Use {
    fn start(config: &DatabaseConfig) -> Self {
        let (ended, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let shared = Database::lazy(config);
        let one = |fresh: bool| {
            let (config, shared) = (config.clone(), shared.clone());
            let (ended, done) = (Arc::clone(&ended), Arc::clone(&done));
            tokio::spawn(async move {
                while !ended.load(Ordering::SeqCst) {
                    let database = if fresh { Database::lazy(&config) } else { shared.clone() };
                    schema::current(&database).await.expect("no statement fails");
                    done.fetch_add(1, Ordering::SeqCst);
                    if fresh {
                        database.close().await;
                    }
                }
            })
        };
        let users = [true, true, false, false].map(one).into();
        Self { ended, done, users }
    }

    /// Returns when many more statements are done.
    async fn go_on(&self) {
        let wanted = self.done.load(Ordering::SeqCst) + 200;
        while self.done.load(Ordering::SeqCst) < wanted {
            assert!(!self.users.iter().any(JoinHandle::is_finished), "a statement failed");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn end(self) {
        self.ended.store(true, Ordering::SeqCst);
        for user in self.users {
            user.await.expect("no statement fails");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_password_is_introduced_and_the_old_one_ended_without_one_failed_statement() {
    let rotation = Rotation::new().await;
    let in_use = Use::start(&rotation.config());
    let program = Program::start(&["serve"], &rotation.borrowed());
    in_use.go_on().await;
    rotation.write_files(OLD, NEW);
    in_use.go_on().await;
    // As two pods that start at the same time.
    let (one, two) = std::thread::scope(|scope| {
        let (one, two) =
            (scope.spawn(|| rotation.succeed("migrate")), scope.spawn(|| rotation.succeed("migrate")));
        (one.join().unwrap(), two.join().unwrap())
    });
    assert_eq!((one + &two).matches("set the new password").count(), 1);
    assert!(rotation.accepts(NEW).await && rotation.accepts(OLD).await);
    in_use.go_on().await;
    for _ in 0..2 {
        rotation.succeed("discard-previous-password");
        in_use.go_on().await;
    }
    assert!(rotation.accepts(NEW).await && !rotation.accepts(OLD).await);
    assert_eq!(get(program.pages, "/").0, 200);
    assert_eq!(post(program.pages, "/auth/register", "", "username=bob&password=x").0, 302);
    in_use.end().await;
}

/// Replicas find the files changed before the password was changed at the server.
#[tokio::test(flavor = "multi_thread")]
async fn who_starts_before_the_server_was_told_goes_on_with_the_previous_password_and_then_with_the_new_one()
{
    let rotation = Rotation::new().await;
    rotation.write_files(OLD, NEW);
    let program = Program::start(&["serve"], &rotation.borrowed());
    assert_eq!(program.readiness().0, 200, "{}", program.readiness().1);
    assert_eq!(get(program.pages, "/").0, 200);
    assert!(rotation.succeed("check-config").contains("a new one is being introduced"));
    rotation.succeed("migrate");
    eventually("it found out", || program.log().contains("accepts the current password now").then_some(()));
    rotation.succeed("discard-previous-password");
    assert_eq!(post(program.pages, "/auth/register", "", "username=bob&password=x").0, 302);
    assert!(!program.log().contains("s3cret"), "{}", program.log());
}

#[tokio::test]
async fn a_rotation_that_ended_right_after_the_change_is_finished_by_the_next_run() {
    let rotation = Rotation::new().await;
    rotation.write_files(OLD, NEW);
    let new = NEW.replace('\\', "\\\\").replace('\'', "''");
    let user = &rotation.account.user;
    as_root(&format!("ALTER USER {user}@'%' IDENTIFIED BY '{new}' RETAIN CURRENT PASSWORD")).await;
    for _ in 0..2 {
        let text = rotation.succeed("migrate");
        assert!(!text.contains("set the new password"), "{text}");
    }
    assert!(rotation.accepts(OLD).await, "replicas that know only this one still need it");
    rotation.succeed("discard-previous-password");
    assert!(!rotation.accepts(OLD).await);
}

#[tokio::test]
async fn the_right_that_an_account_lacks_is_named_with_the_statement_that_gives_it() {
    let rotation = Rotation::new().await;
    let user = &rotation.account.user;
    as_root(&format!("REVOKE APPLICATION_PASSWORD_ADMIN ON *.* FROM {user}@'%'")).await;
    let grant = format!("GRANT APPLICATION_PASSWORD_ADMIN ON *.* TO '{user}'@'%'");
    rotation.write_files("", OLD);
    let (ok, text) = rotation.run("discard-previous-password");
    assert!(!ok && text.contains(&grant), "{text}");
    rotation.write_files(OLD, NEW);
    let (ok, text) = rotation.run("migrate");
    assert!(!ok && text.contains(&grant), "{text}");
    as_root(&grant).await;
    rotation.succeed("migrate");
    assert!(rotation.accepts(NEW).await);
}

#[tokio::test]
async fn the_previous_password_is_not_discarded_before_the_new_one_works() {
    let rotation = Rotation::new().await;
    rotation.write_files(OLD, NEW);
    let (ok, text) = rotation.run("discard-previous-password");
    assert!(!ok && text.contains("run `blog-app migrate`"), "{text}");
    assert!(rotation.accepts(OLD).await);
    rotation.write_files("wrong-s3cret", NEW);
    let (ok, text) = rotation.run("migrate");
    assert!(!ok && text.contains("refuses both the password in BLOG_DATABASE_PASSWORD_FILE"), "{text}");
}

/// The operator's last step removes the previous password from the Secret.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_ends_the_previous_password_when_its_file_goes() {
    let rotation = Rotation::new().await;
    rotation.write_files(OLD, NEW);
    rotation.succeed("migrate");
    let program = Program::start(&["serve"], &rotation.borrowed());
    assert_eq!(get(program.pages, "/").0, 200);
    std::fs::remove_file(rotation.directory.path().join("previous")).unwrap();
    eventually("it was ended", || program.log().contains("discarded the previous password").then_some(()));
    assert!(rotation.accepts(NEW).await && !rotation.accepts(OLD).await);
    assert_eq!(post(program.pages, "/auth/register", "", "username=bob&password=x").0, 302);
}

/// An administrator edits the Secret, and nothing else changes.
#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_was_changed_in_its_file_alone_is_told_to_the_server_by_a_running_replica() {
    let rotation = Rotation::new().await;
    let in_use = Use::start(&rotation.config());
    let program = Program::start(&["serve"], &rotation.borrowed());
    assert_eq!(get(program.pages, "/").0, 200);
    in_use.end().await;
    rotation.write_files("", NEW);
    eventually("the password was changed at the server", || {
        program.log().contains("changed the account's password in MySQL").then_some(())
    });
    assert!(rotation.accepts(NEW).await && rotation.accepts(OLD).await);
    rotation.succeed("migrate");
    assert_eq!(post(program.pages, "/auth/register", "", "username=bob&password=x").0, 302);
    assert!(!program.log().contains("s3cret"), "{}", program.log());
}
