//! Blog and MySQL verify each other's line, also while the authority that vouches for it is replaced.

use e2e::{eventually, kubectl};
use serde_json::Value;

use crate::{
    person::{Person, Visitors},
    sample::{Sample, incarnations, mysql, mysql_over_the_network, name, object, pods},
};

const SECRET: &str = "blog-mysql-tls";

fn annotation(key: &str) -> Option<String> {
    let secret = object("secret", SECRET)?;
    secret["metadata"]["annotations"][format!("flaskblog.dev/{key}")].as_str().map(str::to_owned)
}

/// As if the time between two steps were over.
fn time_passes() {
    let long_ago = "flaskblog.dev/rotation-step-taken=2020-01-01T00:00:00Z";
    let _ = kubectl(&["annotate", "secret", SECRET, "-n", "default", "--overwrite", long_ago]);
}

fn step_reached(step: Option<&str>) {
    eventually(&format!("the rotation is at {step:?}"), "default", || {
        let fresh = annotation("rotation-step-taken").is_some_and(|at| !at.starts_with("2020"));
        (fresh && annotation("rotation-under-way").as_deref() == step).then_some(())
    });
}

/// How often each replica has taken up a changed file since it started.
fn taken_up() -> Vec<usize> {
    let log = |pod: &Value| {
        let log = kubectl(&["logs", &name(pod), "-n", "default", "-c", "blog", "--tail=-1"]);
        log.matches("took up what the files of the database's login hold now").count()
    };
    pods("app").iter().map(log).collect()
}

/// The kubelet brings a changed Secret within about two minutes.
fn every_replica_took_up_more_than(before: &[usize]) {
    eventually("every replica has the authority's new file", "default", || {
        taken_up().iter().zip(before).all(|(now, before)| now > before).then_some(())
    });
}

/// The certificate that MySQL shows is told apart by its first second.
fn shown() -> String {
    mysql("SHOW STATUS LIKE 'Ssl_server_not_before'")
}

#[tokio::test]
async fn a_new_authority_comes_without_a_failed_visit_and_without_a_restart() {
    let sample = Sample::ready();
    let plain = mysql_over_the_network(r"ssl-mode=DISABLED\n");
    let refusal = String::from_utf8_lossy(&plain.stderr).into_owned();
    assert!(refusal.contains("insecure transport"), "MySQL takes plain connections: {refusal}");
    let plain = "SELECT COUNT(*) FROM performance_schema.threads WHERE connection_type = 'TCP/IP'";
    assert_eq!(mysql(plain), "0");
    let visitors = [
        Visitors::readers(3),
        Visitors::member(Person::registered().await),
        Visitors::writer(Person::registered().await),
    ];
    let (pods_before, shown_before, taken_before) = (incarnations(), shown(), taken_up());
    let word = format!("flaskblog.dev/rotate-certificates={}", e2e::browser::unique("e2e"));
    let _ = kubectl(&["annotate", "fb", "blog", "-n", "default", "--overwrite", &word]);
    step_reached(Some("introduced"));
    every_replica_took_up_more_than(&taken_before);
    assert_eq!(shown(), shown_before, "MySQL shows the new authority's certificate too early");
    time_passes();
    step_reached(Some("signed"));
    eventually("MySQL shows the new certificate", "default", || (shown() != shown_before).then_some(()));
    let taken_before = taken_up();
    time_passes();
    step_reached(None);
    every_replica_took_up_more_than(&taken_before);
    assert_eq!(incarnations(), pods_before, "something was restarted");
    // A replica that starts now believes the new authority only.
    let newcomer = name(&pods("app")[0]);
    let _ = kubectl(&["delete", "pod", &newcomer, "-n", "default", "--wait=false"]);
    e2e::wait_ready("default", "blog");
    for visits in visitors.map(Visitors::noticed_nothing) {
        assert!(visits > 50, "only {visits} visits");
    }
    sample.restored();
}
