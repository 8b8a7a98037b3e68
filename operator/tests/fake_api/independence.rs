//! A fault blocks only the objects that depend on it.

use flaskblog_api::{Child, OwnedKind};
use serde_json::json;

use super::volume::start_over;
use super::*;

const HPAS: &str = "/apis/autoscaling/v2/namespaces/press/horizontalpodautoscalers";
const INGRESSES: &str = "/apis/networking.k8s.io/v1/namespaces/press/ingresses";

fn refuse_service(fake: &FakeApi) {
    fake.disturb(|line, _| (line == "PATCH services/daily").then_some(Fault::Refused(422)));
}

/// Attempts after which the node port is given up.
///
/// Another Service has it then.
const TAKEN: usize = 3;

/// Refuses the requested node port at the first writes.
fn refuse_port(fake: &FakeApi, mut refusals: usize) {
    fake.disturb(move |line, _| {
        let refused = line == "PATCH services/daily" && refusals > 0;
        refusals -= usize::from(refused);
        refused.then_some(Fault::Refused(422))
    });
}

/// F1: the periodic read finds an unmanaged object that isn't needed.
#[tokio::test]
async fn a_foreign_object_that_is_not_needed_changes_nothing() {
    for path in [
        format!("{INGRESSES}/daily"),
        format!("{HPAS}/daily"),
        format!("{NS}/configmaps/daily-dashboard"),
        PDB.to_owned(),
    ] {
        let fake = fake_with(json!({"replicas": 1}));
        fake.put(&path, json!({"metadata": {"name": "daily", "labels": {"of": "others"}}}));
        let before = fake.get(&path);
        step(&fake).await.unwrap();
        workloads_become_ready(&fake, 1);
        fake.edit(BLOG, |blog| blog["spec"]["title"] = "Changed".into());
        step(&fake).await.unwrap();
        workloads_become_ready(&fake, 1);
        step(&fake).await.unwrap();
        assert_eq!(condition(&fake, "Ready")["status"], "True", "{path}");
        assert_eq!(fake.get(&path), before, "{path}");
    }
}

#[tokio::test]
async fn a_foreign_object_that_is_needed_stops_only_itself() {
    let fake = fake_with(json!({}));
    step(&fake).await.unwrap();
    fake.put(PDB, json!({"metadata": {"name": "daily", "uid": "theirs"}}));
    fake.edit(BLOG, |blog| blog["spec"]["title"] = "Changed".into());
    assert_eq!(step(&fake).await.unwrap_err().reason(), "NameConflict");
    let deployment = fake.get(&format!("{APPS}/deployments/daily")).unwrap();
    assert!(deployment.to_string().contains("Changed"), "{deployment}");
    assert_eq!(condition(&fake, "Degraded")["reason"], "NameConflict");
}

/// Row 13: another Service has the node port.
#[tokio::test]
async fn a_refused_service_holds_back_no_other_object() {
    let fake = fake_with(json!({}));
    refuse_service(&fake);
    assert_eq!(step(&fake).await.unwrap_err().reason(), "Rejected");
    assert!(fake.get(&format!("{APPS}/statefulsets/daily-mysql")).is_some());
    assert!(fake.get(&format!("{APPS}/deployments/daily")).is_some());
    fake.edit(BLOG, |blog| blog["spec"]["replicas"] = 3.into());
    assert_eq!(step(&fake).await.unwrap_err().reason(), "Rejected");
    let deployment = fake.get(&format!("{APPS}/deployments/daily")).unwrap();
    assert_eq!(deployment["spec"]["replicas"], 3);
    for type_ in ["Ready", "Degraded", "Progressing"] {
        assert_eq!(condition(&fake, type_)["reason"], "Rejected");
    }
    assert_eq!(condition(&fake, "Ready")["status"], "False");
    fake.leave_alone();
    step(&fake).await.unwrap();
    assert_eq!(condition(&fake, "Degraded")["status"], "False");
}

#[tokio::test]
async fn a_refused_object_does_not_keep_a_dropped_one() {
    let fake = fake_with(json!({}));
    step(&fake).await.unwrap();
    refuse_service(&fake);
    fake.edit(BLOG, |blog| blog["spec"] = json!({"replicas": 1, "service": {"nodePort": 30423}}));
    step(&fake).await.unwrap_err();
    assert!(fake.get(PDB).is_none());
}

/// F3: the certificate expires after 90 days, whatever else fails.
#[tokio::test]
async fn a_due_certificate_is_renewed_whatever_else_fails() {
    let tls = format!("{NS}/secrets/daily-mysql-tls");
    for obstacle in ["a refused Service", "a spec without a plan"] {
        let fake = fake_with(json!({}));
        step(&fake).await.unwrap();
        let due = json!("2026-01-01T00:00:00Z");
        fake.edit(&tls, |secret| {
            secret["metadata"]["annotations"]["flaskblog.dev/renew-certificate-after"] = due.clone();
            let data = secret["stringData"].as_object().unwrap().clone();
            let encoded = data
                .into_iter()
                .map(|(key, value)| (key, json!(k8s_openapi::ByteString(value.as_str().unwrap().into()))));
            secret["data"] = encoded.collect::<serde_json::Map<_, _>>().into();
        });
        if obstacle == "a refused Service" {
            fake.edit(BLOG, |blog| blog["spec"]["service"] = json!({"nodePort": 30423}));
            refuse_service(&fake);
        } else {
            fake.edit(BLOG, |blog| blog["status"]["databaseVersion"] = "9.9".into());
        }
        step(&fake).await.unwrap_err();
        let after =
            &fake.get(&tls).unwrap()["metadata"]["annotations"]["flaskblog.dev/renew-certificate-after"];
        assert_ne!(*after, due, "{obstacle}");
    }
}

#[tokio::test]
async fn an_object_is_not_created_without_its_prerequisite() {
    for (role, path) in [
        (Child::App, format!("{APPS}/deployments/daily")),
        (Child::Database, format!("{APPS}/statefulsets/daily-mysql")),
    ] {
        for needed in role.prerequisites() {
            let fake = fake_with(json!({}));
            let verb = if needed.kind() == OwnedKind::Secret { "POST" } else { "PATCH" };
            let plural = needed.kind().api_resource().plural;
            let refused = format!("{verb} {plural}/{}", needed.name("daily"));
            fake.disturb(move |line, _| (line == refused).then_some(Fault::Refused(403)));
            assert_eq!(step(&fake).await.unwrap_err().reason(), "Forbidden", "{needed:?}");
            assert!(fake.get(&path).is_none(), "{role:?} without {needed:?}");
        }
    }
}

#[tokio::test]
async fn deleted_service_gets_its_node_port_again() {
    let port = |fake: &FakeApi| {
        fake.get(&format!("{NS}/services/daily")).unwrap()["spec"]["ports"][0]["nodePort"].clone()
    };
    for refusals in [0, 2, TAKEN] {
        let fake = fake_with(json!({}));
        step(&fake).await.unwrap();
        assert!(port(&fake).is_null(), "the cluster chooses");
        fake.edit(BLOG, |blog| blog["status"]["nodePort"] = 30270.into());
        fake.remove(&format!("{NS}/services/daily"));
        refuse_port(&fake, refusals);
        step(&fake).await.unwrap();
        assert_eq!(port(&fake), if refusals == TAKEN { Value::Null } else { json!(30270) });
    }
}

#[tokio::test]
async fn node_port_stays_after_delete_and_apply() {
    let service = format!("{NS}/services/daily");
    let external = json!({"external": {"host": "db.example", "credentialsSecret": "theirs"}});
    for (database, refusals) in [(json!({}), 0), (json!({}), TAKEN), (external, 0)] {
        let fake = fake_with(json!({"database": database}));
        fake.put(&format!("{NS}/secrets/theirs"), json!({"metadata": {"name": "theirs"}}));
        step(&fake).await.unwrap();
        fake.edit(&service, |service| service["spec"]["ports"][0]["nodePort"] = 30270.into());
        fake.take_writes();
        step(&fake).await.unwrap();
        let recorded = |line: &String| line == "PATCH secrets/daily-session";
        assert!(fake.take_writes().iter().any(recorded));
        step(&fake).await.unwrap();
        assert_eq!(fake.take_writes(), [""; 0], "recorded once");
        start_over(&fake);
        fake.edit(BLOG, |blog| blog["spec"]["database"] = database.clone());
        refuse_port(&fake, refusals);
        step(&fake).await.unwrap();
        let port = fake.get(&service).unwrap()["spec"]["ports"][0]["nodePort"].clone();
        assert_eq!(port, if refusals == TAKEN { Value::Null } else { json!(30270) });
    }
}

/// F5: an autoscaler never raises a target from zero.
#[tokio::test]
async fn zero_replicas_under_autoscaling_are_repaired() {
    let fake = fake_with(json!({"autoscaling": {"minReplicas": 2, "maxReplicas": 4}}));
    step(&fake).await.unwrap();
    workloads_become_ready(&fake, 2);
    fake.edit(&format!("{APPS}/deployments/daily"), |deployment| {
        deployment["spec"]["replicas"] = 0.into();
        deployment["status"]["replicas"] = 0.into();
    });
    step(&fake).await.unwrap();
    assert_eq!(fake.get(&format!("{APPS}/deployments/daily")).unwrap()["spec"]["replicas"], 2);
    assert_eq!(condition(&fake, "Ready")["status"], "False");
}

#[tokio::test]
async fn load_balancer_without_an_address_is_named() {
    let fake = fake_with(json!({"service": {"type": "LoadBalancer"}}));
    step(&fake).await.unwrap();
    workloads_become_ready(&fake, 2);
    step(&fake).await.unwrap();
    let message = || condition(&fake, "Ready")["message"].as_str().unwrap().to_owned();
    assert!(message().contains("the load balancer has no address yet"), "{}", message());
    fake.edit(&format!("{NS}/services/daily"), |service| {
        service["status"] = json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.7"}]}});
    });
    step(&fake).await.unwrap();
    assert_eq!(message(), "2 of 2 replicas serve");
}

/// Row 3: the Secret holds garbage, and no renewal is due.
#[tokio::test]
async fn broken_certificate_is_generated_again() {
    for (key, is_authority) in [("tls.crt", false), ("ca.crt", true)] {
        let tls = format!("{NS}/secrets/daily-mysql-tls");
        let fake = fake_with(json!({}));
        let ctx = context(&fake);
        look(&fake, &ctx).await;
        fake.edit(&tls, |secret| {
            let text = secret["stringData"].as_object().unwrap().clone();
            let encode = |value: &str| json!(k8s_openapi::ByteString(value.into()));
            let data = text.into_iter().map(|(key, value)| (key, encode(value.as_str().unwrap())));
            secret["data"] = data.collect::<serde_json::Map<_, _>>().into();
            secret["data"][key] = encode("garbage");
            secret["metadata"]["resourceVersion"] = "1000000".into();
        });
        let before = fake.get(&tls).unwrap()["data"].clone();
        ctx.children.invalidate("blog-uid");
        look(&fake, &ctx).await;
        let after = fake.get(&tls).unwrap()["data"].clone();
        assert_ne!(after["tls.crt"], before["tls.crt"], "{key}");
        assert_eq!(after["ca.crt"] != before["ca.crt"], is_authority, "{key}");
        assert_ne!(after[key], json!(k8s_openapi::ByteString(b"garbage".to_vec())), "{key}");
        fake.take_writes();
        look(&fake, &ctx).await;
        look(&fake, &ctx).await;
        assert_eq!(fake.take_writes(), Vec::<String>::new(), "{key}");
    }
}

/// The finalizer of another client may block its deletion for ever.
#[tokio::test]
async fn a_child_being_deleted_stops_only_itself() {
    let fake = fake_with(json!({}));
    step(&fake).await.unwrap();
    workloads_become_ready(&fake, 1);
    fake.edit(&format!("{NS}/services/daily"), |service| {
        service["metadata"]["deletionTimestamp"] = "2026-11-27T12:00:00Z".into();
        service["metadata"]["finalizers"] = json!(["example.com/hold"]);
    });
    fake.edit(BLOG, |blog| blog["spec"]["title"] = "Changed".into());
    fake.take_writes();
    assert_eq!(step(&fake).await.unwrap_err().reason(), "WaitingForCleanup");
    let writes = fake.take_writes();
    assert!(writes.iter().any(|line| line == "PATCH deployments/daily"), "{writes:?}");
    assert!(!writes.iter().any(|line| line.ends_with("services/daily")), "{writes:?}");
    let degraded = condition(&fake, "Degraded");
    let message = degraded["message"].as_str().unwrap();
    assert!(
        message.contains("example.com/hold") && message.contains("kubectl patch services daily"),
        "{message}"
    );
    fake.remove(&format!("{NS}/services/daily"));
    step(&fake).await.unwrap();
    assert!(fake.get(&format!("{NS}/services/daily")).is_some());
}
