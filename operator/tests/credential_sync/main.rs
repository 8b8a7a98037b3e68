//! The credential-sync container's script against a real MySQL.
#![expect(clippy::unwrap_used, reason = "a failed unwrap in a test is a failed test, also in its helpers")]

mod pod;

use std::{thread::sleep, time::Duration};

use pod::{ACCOUNT, FIRST, MARK, Pod, eventually};

const NEW: &str = "new-s3cret";
/// A password with quotes and backslashes.
///
/// They must end neither the statement nor the option file's line.
const BY_HAND: &str = r#"it's \' a \ "s3cret" # \n; 🍣 `$HOME` "#;
const REFUSED: &str = "MySQL refuses root every password of the Secret";
const MAY_HAVE_TWO: &str = "the account may have two passwords now";

/// A password that another administrator sets.
const OTHER: &str = "other-s3cret";
/// Checks often enough for a test.
const EAGER: &[&str] = &["CHECK_SECONDS=1", "RETAINED_SECONDS=4", "RETRY_SECONDS=1"];
const SET_AGAIN: &str = "MySQL refused the account the Secret's password: it is set again";
const NO_DATABASE: &str = "MySQL has no database of the name in the Secret's key database";
const UNLOCKED: &str = "the account is no longer locked";

fn root(pod: &Pod, statement: &str) -> String {
    pod.sql(FIRST, statement).unwrap()
}

/// A pod whose credential-sync container has found the account valid.
fn checked(name: &str, variables: &[&str]) -> Pod {
    let pod = Pod::new(name);
    pod.wants(FIRST, &[]);
    pod.wants_of_the_account(ACCOUNT, None);
    // The first initialisation may take longer than a test's timeout.
    let _ = root(&pod, "DO 0");
    pod.start_sync_with(variables);
    pod.hears(MAY_HAVE_TWO, 1);
    pod
}

/// Waits for a check of the account, which alone ends a lock.
fn next_check(pod: &Pod, times: usize) {
    let _ = root(pod, "ALTER USER 'flaskr'@'%' ACCOUNT LOCK");
    pod.hears(UNLOCKED, times);
}

fn number(pod: &Pod, status: &str) -> u64 {
    let row = pod.sql(FIRST, &format!("SHOW GLOBAL STATUS LIKE '{status}'")).unwrap();
    row.rsplit('\t').next().unwrap().parse().unwrap()
}

#[test]
fn server_as_wanted_is_left_alone_between_checks() {
    let pod = Pod::new("calm");
    pod.wants(FIRST, &[]);
    pod.start_sync();
    pod.probe().unwrap();
    pod.hears(MAY_HAVE_TWO, 1);
    assert!(pod.sql(FIRST, "SHOW GRANTS FOR 'flaskr'@'%'").unwrap().contains("APPLICATION_PASSWORD_ADMIN"));
    sleep(Duration::from_secs(1));
    let before = number(&pod, "Connections");
    sleep(Duration::from_secs(3));
    // The test's own two: the client of this query, and the ping before it.
    assert_eq!(number(&pod, "Connections"), before + 2);
    assert_eq!(number(&pod, "Com_alter_instance"), 0, "there is no certificate");
    for (times, certificate) in [(1, "one"), (2, "another")] {
        pod.write("tls/tls.crt", certificate);
        pod.hears("the certificate is loaded", times as usize);
        assert_eq!(number(&pod, "Com_alter_instance"), times);
    }
    assert_eq!(pod.log().lines().count(), 3, "{}", pod.log());
}

#[test]
fn a_new_password_of_root_is_told_to_mysql_and_the_old_one_ends() {
    let pod = Pod::new("rotates");
    pod.wants(FIRST, &[]);
    pod.start_sync();
    pod.hears(MAY_HAVE_TWO, 1);
    let lines = pod.command_lines(8);
    pod.wants(NEW, &[FIRST]);
    pod.changes(NEW, FIRST);
    // Only the one key, as a user edits it: the credential-sync container remembers MySQL's last password.
    pod.wants(BY_HAND, &[FIRST]);
    pod.changes(BY_HAND, NEW);
    let lines = lines.join().unwrap();
    assert!(lines.contains("--defaults-file=/dev/fd/"), "the client was never seen");
    assert!(!lines.contains(MARK), "a password is on a command line");
    pod.hears("root's previous password has ended", 2);
    let (_, state) = pod.stop_sync();
    assert_eq!(state, "0 false", "exit code, killed for its memory");
    // No credential-sync container was running when these were requested.
    pod.wants("third-s3cret", &["second-s3cret", BY_HAND, NEW]);
    pod.start_sync();
    pod.changes("third-s3cret", BY_HAND);
    pod.hears("root's previous password has ended", 1);
}

#[test]
fn a_change_that_was_interrupted_in_the_middle_is_finished() {
    let pod = Pod::new("interrupted");
    pod.sql(FIRST, &format!("ALTER USER 'root'@'localhost' IDENTIFIED BY '{NEW}' RETAIN CURRENT PASSWORD"))
        .unwrap();
    assert!(pod.accepts(NEW) && pod.accepts(FIRST));
    pod.wants(NEW, &[FIRST]);
    pod.start_sync();
    pod.hears("root's previous password has ended", 1);
    assert!(pod.accepts(NEW) && !pod.accepts(FIRST));
}

#[test]
fn when_no_password_works_it_says_so_once_and_goes_on_with_one_that_does() {
    let pod = Pod::new("refused");
    assert!(pod.accepts(FIRST));
    pod.wants(NEW, &["never-s3cret", "nor-this-s3cret"]);
    pod.start_sync();
    pod.hears(REFUSED, 1);
    sleep(Duration::from_secs(3));
    pod.hears(REFUSED, 1);
    assert!(pod.probe().unwrap_err().contains(REFUSED));
    pod.wants(NEW, &["never-s3cret", FIRST]);
    pod.changes(NEW, FIRST);
    pod.hears("root's previous password has ended", 1);
    pod.is_ready();
    // root must never get an empty password.
    pod.wants("", &[NEW]);
    sleep(Duration::from_secs(2));
    assert!(pod.accepts(NEW));
}

#[test]
fn it_waits_for_a_server_that_is_being_made_and_ends_at_once_when_told() {
    let pod = Pod::new("waits");
    pod.wants(FIRST, &[]);
    pod.start_sync();
    sleep(Duration::from_secs(1));
    let (took, state) = pod.stop_sync();
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(state, "0 false");
    pod.start_sync();
    pod.hears(MAY_HAVE_TWO, 1);
    assert!(!pod.log().contains("failed"), "{}", pod.log());
    let (took, _) = pod.stop_sync();
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[test]
fn changed_password_of_the_account_is_set_back() {
    let pod = checked("account", EAGER);
    let lines = pod.command_lines(6);
    let by_hand = BY_HAND.replace('\\', "\\\\").replace('\'', "''");
    let _ = root(&pod, &format!("ALTER USER 'flaskr'@'%' IDENTIFIED BY '{by_hand}'"));
    pod.account_works(ACCOUNT);
    pod.hears(SET_AGAIN, 1);
    pod.hears("the account's other password has ended", 1);
    assert!(pod.account_accepts(ACCOUNT) && !pod.account_accepts(BY_HAND));
    let lines = lines.join().unwrap();
    assert!(lines.contains("--ssl-mode=REQUIRED"), "the login was never seen");
    assert!(!lines.contains(MARK), "a password is on a command line");
    // An empty password can't be retained, and the other settings include more than a password.
    let others =
        ["REQUIRE X509", "PASSWORD EXPIRE", "REQUIRE ISSUER '/CN=other'"].map(|it| format!("'{OTHER}' {it}"));
    for (times, other) in (2..).zip(["''".to_owned()].iter().chain(&others)) {
        let _ = root(&pod, &format!("ALTER USER 'flaskr'@'%' IDENTIFIED BY {other}"));
        pod.hears(SET_AGAIN, times);
        pod.account_works(ACCOUNT);
    }
    pod.is_ready();
    let (_, state) = pod.stop_sync();
    assert_eq!(state, "0 false", "exit code, killed for its memory");
}

#[test]
fn account_gets_back_what_the_image_gave_it() {
    let pod = checked("rights", EAGER);
    let grants = root(&pod, "SHOW GRANTS FOR 'flaskr'@'%'");
    assert!(grants.contains(r"ALL PRIVILEGES ON `flask\\_r`.*"), "{grants}");
    let row = "SELECT COUNT(*) FROM flask_r.kept";
    let _ = root(&pod, "CREATE TABLE flask_r.kept SELECT 1 AS id");
    for damage in [
        "DROP USER 'flaskr'@'%'",
        "ALTER USER 'flaskr'@'%' ACCOUNT LOCK",
        r"REVOKE ALL ON `flask\_r`.* FROM 'flaskr'@'%'",
        r"REVOKE DROP ON `flask\_r`.* FROM 'flaskr'@'%'",
        "REVOKE APPLICATION_PASSWORD_ADMIN ON *.* FROM 'flaskr'@'%'",
    ] {
        let _ = root(&pod, damage);
        pod.account_works(ACCOUNT);
        pod.has_grants(FIRST, &grants);
    }
    assert_eq!(root(&pod, row), "1");
    // A dropped database is lost data, which the credential-sync container must not recreate.
    let _ = root(&pod, "DROP DATABASE flask_r");
    next_check(&pod, 2);
    assert!(pod.as_account(ACCOUNT, row).unwrap_err().contains("Unknown database"));
    assert!(pod.probe().unwrap_err().contains(NO_DATABASE));
}

#[test]
fn secret_that_no_replica_could_start_with_is_reported() {
    let pod = checked("secret", EAGER);
    let accounts = "SELECT GROUP_CONCAT(User ORDER BY User) FROM mysql.user";
    let before = root(&pod, accounts);
    let fails = |words: &str| {
        let has_failed = || pod.probe().is_err_and(|error| error.contains(words));
        eventually(words, has_failed, || pod.log());
    };
    for (key, value) in [("username", "flaskr"), ("database", "flask_r"), ("password", ACCOUNT)] {
        let file = format!("credentials/{key}");
        pod.write(&file, "");
        fails(&format!("the Secret has no key {key}"));
        pod.write(&file, value);
        pod.is_ready();
    }
    pod.wants("", &[]);
    fails("the Secret has no key root-password");
    pod.wants(FIRST, &[]);
    pod.is_ready();
    pod.write("credentials/username", "garbage");
    pod.write("credentials/database", "garbage");
    fails(NO_DATABASE);
    assert_eq!(root(&pod, accounts), before, "an account of a wrong name");
    pod.write("credentials/username", "flaskr");
    pod.write("credentials/database", "flask_r");
    pod.is_ready();
}

#[test]
fn rotation_of_the_account_is_left_to_the_blog() {
    let pod = checked("rotation", &["CHECK_SECONDS=1", "RETAINED_SECONDS=0"]);
    pod.wants_of_the_account(NEW, Some(ACCOUNT));
    next_check(&pod, 1);
    assert!(pod.account_accepts(ACCOUNT) && !pod.account_accepts(NEW));
    let change = format!("ALTER USER USER() IDENTIFIED BY '{NEW}' RETAIN CURRENT PASSWORD");
    let _ = pod.as_account(ACCOUNT, &change).unwrap();
    next_check(&pod, 2);
    pod.wants_of_the_account(NEW, None);
    next_check(&pod, 3);
    assert!(pod.account_accepts(ACCOUNT) && pod.account_accepts(NEW), "the replicas end the old one");
    assert!(!pod.log().contains(SET_AGAIN), "{}", pod.log());
    // In the middle of a rotation both may be lost.
    pod.wants_of_the_account("newest-s3cret", Some(NEW));
    let _ = root(&pod, &format!("ALTER USER 'flaskr'@'%' IDENTIFIED BY '{OTHER}'"));
    let _ = root(&pod, "ALTER USER 'flaskr'@'%' DISCARD OLD PASSWORD");
    pod.account_works("newest-s3cret");
}

/// A kubelet updates the replicas' Secret earlier than MySQL's.
#[test]
fn file_that_lags_never_ends_the_password_in_use() {
    let pod = checked("lags", EAGER);
    let _ = root(&pod, &format!("ALTER USER 'flaskr'@'%' IDENTIFIED BY '{NEW}'"));
    pod.hears(SET_AGAIN, 1);
    assert!(pod.account_accepts(NEW), "the replicas have this one");
    pod.wants_of_the_account(NEW, None);
    pod.account_refuses(ACCOUNT);
    assert!(pod.account_accepts(NEW));
    pod.hears("the account's other password has ended", 1);
    pod.hears(SET_AGAIN, 1);
}

#[test]
fn changed_password_of_root_is_found_without_a_file() {
    let pod = checked("root", EAGER);
    let _ = root(&pod, &format!("ALTER USER 'root'@'localhost' IDENTIFIED BY '{OTHER}'"));
    pod.hears(REFUSED, 1);
    assert!(pod.probe().unwrap_err().contains(REFUSED));
    pod.wants(FIRST, &[OTHER]);
    pod.changes(FIRST, OTHER);
    pod.is_ready();
}
