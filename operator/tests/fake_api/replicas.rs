//! The replicas' reports on their database determine Ready.

use std::{net::IpAddr, sync::Mutex};

use axum::{Router, http::StatusCode, routing::get};
use operator::cache::replica_health::ADMIN_PORT;
use serde_json::json;
use tokio::net::TcpListener;

use super::*;

type Answer = Arc<Mutex<(u16, &'static str)>>;

const GOOD: (u16, &str) = (200, "ready\nschema version 3\n");

/// A replica at its own loopback address, with a settable `/readyz` response.
async fn replica(address: IpAddr) -> Answer {
    let answer = Answer::new(Mutex::new(GOOD));
    let current = Arc::clone(&answer);
    let readyz = move || {
        let (status, body) = *current.lock().unwrap();
        future::ready((StatusCode::from_u16(status).unwrap(), body))
    };
    let listener = TcpListener::bind((address, ADMIN_PORT)).await.unwrap();
    let served = axum::serve(listener, Router::new().route("/readyz", get(readyz))).into_future();
    drop(tokio::spawn(served));
    answer
}

fn put_pod(fake: &FakeApi, name: &str, address: IpAddr) {
    fake.put(
        &format!("{NS}/pods/{name}"),
        json!({"metadata": {"name": name, "labels": {"component": "app"}},
            "status": {"phase": "Running", "podIP": address, "conditions": [{"type": "Ready", "status": "True"}]}}),
    );
}

/// A blog with one ready replica at that address.
async fn blog_at(address: IpAddr, spec: Value) -> FakeApi {
    let fake = fake_with(spec);
    step(&fake).await.unwrap();
    put_pod(&fake, "daily-1", address);
    workloads_become_ready(&fake, 1);
    fake
}

#[tokio::test]
async fn ready_follows_what_a_replica_reports() {
    let address = [127, 81, 0, 1].into();
    let answer = replica(address).await;
    let fake = blog_at(address, json!({"replicas": 1})).await;
    step(&fake).await.unwrap();
    assert_eq!(condition(&fake, "Ready")["status"], "True");
    assert_eq!(fake.get(BLOG).unwrap()["status"]["schemaVersion"], 3);
    assert_eq!(condition(&fake, "SchemaReady")["reason"], "Migrated");
    *answer.lock().unwrap() = (503, "the database's schema is version 0\nschema version 0\n");
    // Without a change a new process trusts the status for some seconds. A changed Deployment ends that.
    fake.edit(BLOG, |blog| blog["metadata"]["generation"] = 2.into());
    step(&fake).await.unwrap();
    for (type_, status) in [("Ready", "False"), ("DatabaseReady", "False"), ("Degraded", "True")] {
        let found = condition(&fake, type_);
        assert_eq!(
            (&found["status"], &found["reason"]),
            (&json!(status), &json!("DatabaseUnusable")),
            "{type_}"
        );
        assert!(found["message"].to_string().contains("schema is version 0"), "{found}");
    }
    assert_eq!(fake.get(BLOG).unwrap()["status"]["schemaVersion"], 0);
    *answer.lock().unwrap() = GOOD;
    step(&fake).await.unwrap();
    assert_eq!(condition(&fake, "Ready")["status"], "True");
}

#[tokio::test]
async fn ready_blog_is_asked_again_within_the_interval() {
    let address = [127, 81, 0, 2].into();
    replica(address).await;
    let fake = blog_at(address, json!({"replicas": 1})).await;
    let ctx = context(&fake);
    for _ in 0..2 {
        let periodic = Action::requeue(ctx.settings.resync);
        assert_ne!(look(&fake, &ctx).await, periodic);
        assert!(ctx.replicas.next("blog-uid").unwrap() <= Duration::from_secs(17));
    }
    assert_eq!(condition(&fake, "Ready")["status"], "True");
}

#[tokio::test]
async fn unreachable_replica_leaves_an_external_database_unknown() {
    let silent = [127, 81, 0, 3].into();
    let external = json!({"host": "db.example", "credentialsSecret": "theirs"});
    for (spec, ready) in [
        (json!({"replicas": 1}), "True"),
        (json!({"replicas": 1, "database": {"external": external}}), "False"),
    ] {
        let fake = fake_with(spec);
        fake.put(&format!("{NS}/secrets/theirs"), json!({"metadata": {"name": "theirs"}}));
        step(&fake).await.unwrap();
        put_pod(&fake, "daily-1", silent);
        let deployment = format!("{APPS}/deployments/daily");
        if ready == "True" {
            workloads_become_ready(&fake, 1);
        } else {
            fake.edit(&deployment, |deployment| {
                deployment["status"] = json!({"observedGeneration": deployment["metadata"]["generation"],
                    "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1});
            });
        }
        step(&fake).await.unwrap();
        assert_eq!(condition(&fake, "Ready")["status"], ready);
        let database = condition(&fake, "DatabaseReady");
        let reason = if ready == "True" { "Available" } else { "ReplicaUnreachable" };
        assert_eq!(database["reason"], reason);
        let message = database["message"].to_string();
        assert!(message.contains("can't ask the replicas") && message.contains("9090"), "{message}");
    }
}

/// Posts can be written and read, so the blog stays ready.
///
/// The next start of a replica would fail.
#[tokio::test]
async fn unreadable_session_keys_are_reported_with_the_way_out() {
    let address = [127, 81, 0, 9].into();
    let answer = replica(address).await;
    *answer.lock().unwrap() = (200, "ready\nschema version 3\nwarning: the session key has 7 bytes\n");
    let fake = blog_at(address, json!({"replicas": 1})).await;
    step(&fake).await.unwrap();
    assert_eq!(condition(&fake, "Ready")["status"], "True");
    let degraded = condition(&fake, "Degraded");
    assert_eq!(degraded["reason"], "SessionKeysUnreadable");
    let message = degraded["message"].as_str().unwrap();
    for words in [
        "7 bytes",
        "kubectl delete secret daily-session -n press",
        "kubectl patch fb daily -n press --type=merge -p '{\"spec\":{\"hibernate\":true}}'; \
         kubectl wait fb/daily -n press --for=condition=Hibernated --timeout=10m; kubectl patch",
    ] {
        assert!(message.contains(words), "{message}");
    }
}
