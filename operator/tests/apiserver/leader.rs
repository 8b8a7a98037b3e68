//! Two operator processes: one leads, the other stands by.

use std::process::{Child, Command, Stdio};

use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use serde_json::json;
use tokio::time::Instant;

use crate::house::House;

struct Operator(Child);

impl Operator {
    /// Uses the administrator's permissions, since the test is about leader election.
    fn start(identity: &str, namespace: &str) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_operator"))
            .args(["run", "--listen", "127.0.0.1:0", "--watch-namespace", namespace])
            .args(["--lease-namespace", namespace, "--identity", identity])
            .env("KUBECONFIG", std::env::var("API_TEST_KUBECONFIG").unwrap())
            .stderr(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }

    fn signal(&self, name: &str) {
        let kill = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.0.id())]).status();
        assert!(kill.unwrap().success());
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn holds(house: &House, identity: &str) -> Instant {
    let leases: Api<Lease> = Api::namespaced(house.admin.clone(), &house.namespace);
    house
        .eventually(&format!("{identity} leads"), || async {
            let holder = leases.get_opt("flaskblog-operator").await.unwrap()?.spec?.holder_identity?;
            (holder == identity).then_some(Instant::now())
        })
        .await
}

/// Fault case 12: a killed leader is replaced within 20 s.
///
/// One that shuts down in order is replaced at once. A leader that was paused past its Lease writes nothing more.
#[tokio::test]
async fn a_leader_that_is_killed_ends_or_sleeps_is_followed_by_the_one_that_stands_by() {
    let mut house = House::open("leaders").await;
    house.stop_operator();
    let first = Operator::start("first", "leaders");
    holds(&house, "first").await;
    let mut second = Operator::start("second", "leaders");
    first.signal("KILL");
    let killed = Instant::now();
    let taken = holds(&house, "second").await;
    assert!((taken - killed).as_secs() <= 20, "taken over after {:?}", taken - killed);
    house.blog("blog", json!({"replicas": 1})).await;

    let mut third = Operator::start("third", "leaders");
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    second.signal("TERM");
    let ended = Instant::now();
    let taken = holds(&house, "third").await;
    assert!((taken - ended).as_secs() <= 5, "given back after {:?}", taken - ended);
    assert!(second.0.wait().unwrap().success());

    third.signal("STOP");
    let fourth = Operator::start("fourth", "leaders");
    holds(&house, "fourth").await;
    third.signal("CONT");
    let code = tokio::task::spawn_blocking(move || third.0.wait().unwrap()).await.unwrap();
    assert!(!code.success(), "who lost the Lease ends, and says so");
    drop(fourth);
}
