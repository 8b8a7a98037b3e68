//! The script of the keeper against a real MySQL.
#![expect(clippy::unwrap_used, reason = "a failed unwrap in a test is a failed test, also in its helpers")]

mod pod;

use std::{thread::sleep, time::Duration};

use pod::{FIRST, MARK, Pod};

const NEW: &str = "new-s3cret";
/// Quotes and backslashes must neither end the statement nor the option file's line that it is in.
const BY_HAND: &str = r#"it's \' a \ "s3cret" # \n; 🍣 `$HOME` "#;
const REFUSED: &str = "MySQL refuses root every password of the Secret";
const MAY_HAVE_TWO: &str = "the account may have two passwords now";

fn number(pod: &Pod, status: &str) -> u64 {
    let row = pod.sql(FIRST, &format!("SHOW GLOBAL STATUS LIKE '{status}'")).unwrap();
    row.rsplit('\t').next().unwrap().parse().unwrap()
}

#[test]
fn a_server_that_is_as_wanted_is_not_called_again_until_a_file_changes() {
    let pod = Pod::new("calm");
    pod.wants(FIRST, &[]);
    pod.start_keeper();
    pod.probe().unwrap();
    pod.hears(MAY_HAVE_TWO, 1);
    assert!(pod.sql(FIRST, "SHOW GRANTS FOR 'flaskr'@'%'").unwrap().contains("APPLICATION_PASSWORD_ADMIN"));
    sleep(Duration::from_secs(1));
    let before = number(&pod, "Connections");
    sleep(Duration::from_secs(3));
    // Our own two: the client that asks, and the ping before it.
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
    pod.start_keeper();
    pod.hears(MAY_HAVE_TWO, 1);
    let lines = pod.command_lines(8);
    pod.wants(NEW, &[FIRST]);
    pod.changes(NEW, FIRST);
    // Only the one key, as a person edits it: the keeper remembers what MySQL took last.
    pod.wants(BY_HAND, &[FIRST]);
    pod.changes(BY_HAND, NEW);
    let lines = lines.join().unwrap();
    assert!(lines.contains("--defaults-file=/dev/fd/"), "the client was never seen");
    assert!(!lines.contains(MARK), "a password is on a command line");
    pod.hears("root's previous password has ended", 2);
    let (_, state) = pod.stop_keeper();
    assert_eq!(state, "0 false", "exit code, killed for its memory");
    // Nobody was there when these were asked for.
    pod.wants("third-s3cret", &["second-s3cret", BY_HAND, NEW]);
    pod.start_keeper();
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
    pod.start_keeper();
    pod.hears("root's previous password has ended", 1);
    assert!(pod.accepts(NEW) && !pod.accepts(FIRST));
}

#[test]
fn when_no_password_works_it_says_so_once_and_goes_on_with_one_that_does() {
    let pod = Pod::new("refused");
    assert!(pod.accepts(FIRST));
    pod.wants(NEW, &["never-s3cret", "nor-this-s3cret"]);
    pod.start_keeper();
    pod.hears(REFUSED, 1);
    sleep(Duration::from_secs(3));
    pod.hears(REFUSED, 1);
    assert!(pod.probe().unwrap_err().contains(REFUSED));
    pod.wants(NEW, &["never-s3cret", FIRST]);
    pod.changes(NEW, FIRST);
    pod.hears("root's previous password has ended", 1);
    pod.is_ready();
    // No password at all is nothing that root may be given.
    pod.wants("", &[NEW]);
    sleep(Duration::from_secs(2));
    assert!(pod.accepts(NEW));
}

#[test]
fn it_waits_for_a_server_that_is_being_made_and_ends_at_once_when_told() {
    let pod = Pod::new("waits");
    pod.wants(FIRST, &[]);
    pod.start_keeper();
    sleep(Duration::from_secs(1));
    let (took, state) = pod.stop_keeper();
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(state, "0 false");
    pod.start_keeper();
    pod.hears(MAY_HAVE_TWO, 1);
    assert!(!pod.log().contains("failed"), "{}", pod.log());
    let (took, _) = pod.stop_keeper();
    assert!(took < Duration::from_secs(2), "{took:?}");
}
