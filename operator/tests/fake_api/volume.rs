//! Records of data that has served, and refusals that follow from them.

use serde_json::json;

use super::*;

const SECRET: &str = "/api/v1/namespaces/press/secrets/daily-mysql";

/// A blog whose MySQL has served from volume `pv-1`.
async fn served() -> FakeApi {
    let fake = fake_with(json!({}));
    step(&fake).await.unwrap();
    fake.put(CLAIM, claim(&json!({"volumeName": "pv-1"})));
    workloads_become_ready(&fake, 2);
    step(&fake).await.unwrap();
    fake
}

fn recorded(fake: &FakeApi) -> Value {
    fake.get(SECRET).unwrap()["metadata"]["annotations"]["flaskblog.dev/data-volume"].clone()
}

/// Deletes the FlaskBlog with its dependents, and applies it again.
pub fn start_over(fake: &FakeApi) {
    for path in ["deployments/daily", "statefulsets/daily-mysql"] {
        fake.remove(&format!("{APPS}/{path}"));
    }
    for path in ["services/daily", "services/daily-mysql", "serviceaccounts/daily", "secrets/daily-mysql-tls"]
    {
        fake.remove(&format!("{NS}/{path}"));
    }
    for path in [format!("{POLICIES}/daily"), format!("{POLICIES}/daily-mysql"), PDB.into()] {
        fake.remove(&path);
    }
    fake.put(BLOG, blog(json!({})));
    fake.edit(BLOG, |blog| blog["metadata"]["uid"] = "second-uid".into());
}

#[tokio::test]
async fn served_data_is_recorded_once_on_claim_and_secret() {
    let fake = served().await;
    let claim = fake.get(CLAIM).unwrap();
    let annotations = &claim["metadata"]["annotations"];
    assert_eq!(annotations["flaskblog.dev/served-by-image"], "mysql:9.7");
    assert_eq!(annotations["argocd.argoproj.io/sync-options"], "Prune=false,Delete=false");
    assert_eq!(recorded(&fake), "pv-1");
    assert_eq!(fake.get(SECRET).unwrap()["data"]["data-volume"], "cHYtMQ==");
    fake.take_writes();
    step(&fake).await.unwrap();
    assert_eq!(fake.take_writes(), Vec::<String>::new());
}

/// The PVC is recreated and bound again before MySQL serves.
#[tokio::test]
async fn claim_bound_again_is_marked_while_mysql_hibernates() {
    let fake = served().await;
    let mut bound_again = claim(&json!({"volumeName": "pv-1"}));
    bound_again["metadata"]["uid"] = "bound-again".into();
    fake.put(CLAIM, bound_again);
    fake.edit(BLOG, |blog| {
        blog["metadata"]["generation"] = 2.into();
        blog["spec"]["hibernate"] = true.into();
    });
    for path in ["deployments/daily", "statefulsets/daily-mysql"] {
        fake.edit(&format!("{APPS}/{path}"), |object| {
            object["status"] = json!({"observedGeneration": object["metadata"]["generation"], "replicas": 0});
        });
    }
    step(&fake).await.unwrap();
    let annotations = fake.get(CLAIM).unwrap()["metadata"]["annotations"].clone();
    for (key, value) in flaskblog_api::children::KEEP {
        assert_eq!(annotations[key], value);
    }
    assert_eq!(annotations["flaskblog.dev/served-by-image"], "9.7");
}

#[tokio::test]
async fn claim_of_another_owner_is_reported() {
    let fake = served().await;
    let owner = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "other", "uid": "other-uid"});
    fake.edit(CLAIM, |claim| claim["metadata"]["ownerReferences"] = json!([owner]));
    fake.edit(BLOG, |blog| blog["metadata"]["generation"] = 2.into());
    assert_eq!(step(&fake).await.unwrap_err().reason(), "NameConflict");
    let message = condition(&fake, "Degraded")["message"].to_string();
    assert!(message.contains("ConfigMap other") && message.contains("kubectl patch pvc"), "{message}");
    let set =
        json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "daily-mysql", "uid": "set-uid"});
    fake.edit(CLAIM, |claim| claim["metadata"]["ownerReferences"] = json!([set]));
    step(&fake).await.unwrap();
}

#[tokio::test]
async fn kept_secrets_name_every_tool_that_could_prune_them() {
    let fake = fake_with(json!({}));
    step(&fake).await.unwrap();
    for name in ["daily-mysql", "daily-session"] {
        let annotations =
            fake.get(&format!("{NS}/secrets/{name}")).unwrap()["metadata"]["annotations"].clone();
        for (key, value) in flaskblog_api::children::KEEP {
            assert_eq!(annotations[key], value, "{name}");
        }
    }
}

#[tokio::test]
async fn older_mysql_is_refused_after_delete_and_apply() {
    let fake = served().await;
    start_over(&fake);
    for (image, reason) in [("mysql:8.4", "DatabaseDowngrade"), ("mysql:9.8", "UpgradeUnconfirmed")] {
        fake.edit(BLOG, |blog| blog["spec"]["database"] = json!({"managed": {"image": image}}));
        assert_eq!(step(&fake).await.unwrap_err().reason(), reason);
        assert!(fake.get(&format!("{APPS}/statefulsets/daily-mysql")).is_none(), "{image}");
    }
    fake.edit(BLOG, |blog| blog["spec"]["database"] = json!({}));
    step(&fake).await.unwrap();
    assert!(fake.get(&format!("{APPS}/statefulsets/daily-mysql")).is_some());
}

#[tokio::test]
async fn claim_being_deleted_freezes_mysql_and_nothing_else() {
    let fake = served().await;
    fake.edit(CLAIM, |claim| claim["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into());
    fake.edit(BLOG, |blog| {
        blog["metadata"]["generation"] = 2.into();
        blog["spec"]["title"] = "Changed".into();
        blog["spec"]["database"] = json!({"managed": {"config": {"max_connections": "120"}}});
    });
    fake.take_writes();
    assert_eq!(step(&fake).await.unwrap_err().reason(), "VolumeDeleting");
    let writes = fake.take_writes();
    assert!(writes.contains(&"PATCH deployments/daily".to_owned()), "{writes:?}");
    assert!(
        !writes.iter().any(|write| write.contains("statefulsets") || write.contains("pods")),
        "{writes:?}"
    );
    assert_eq!(condition(&fake, "Degraded")["reason"], "VolumeDeleting");
    let warnings = format!("{:?}", fake.events());
    assert!(warnings.contains("VolumeDeleting"), "{warnings}");
}

#[tokio::test]
async fn empty_volume_in_place_of_the_data_needs_confirmation() {
    let fake = served().await;
    fake.put(CLAIM, claim(&json!({"volumeName": "pv-2"})));
    // Another generation replaces the watch event, since both cause a read of the PVC.
    fake.edit(BLOG, |blog| blog["metadata"]["generation"] = 2.into());
    fake.edit(&format!("{APPS}/statefulsets/daily-mysql"), |set| set["status"]["readyReplicas"] = 0.into());
    assert_eq!(step(&fake).await.unwrap_err().reason(), "VolumeLost");
    assert_eq!(condition(&fake, "Ready")["status"], "False");
    assert_eq!(recorded(&fake), "pv-1");
    fake.edit(BLOG, |blog| {
        blog["metadata"]["annotations"] = json!({"flaskblog.dev/allow-empty-database": "pv-1"});
    });
    step(&fake).await.unwrap();
    assert_eq!(recorded(&fake), Value::Null);
    workloads_become_ready(&fake, 2);
    step(&fake).await.unwrap();
    assert_eq!(recorded(&fake), "pv-2");
}

/// Row 7: the PVC is deleted as advised, and its successor is empty.
#[tokio::test]
async fn lost_secret_can_be_given_up_step_by_step() {
    let fake = served().await;
    fake.remove(SECRET);
    let message = |fake: &FakeApi| condition(fake, "Degraded")["message"].as_str().unwrap().to_owned();
    assert_eq!(step(&fake).await.unwrap_err().reason(), "CredentialsMissing");
    assert!(
        message(&fake).ends_with("kubectl delete pvc data-daily-mysql-0 -n press --wait=false"),
        "{}",
        message(&fake)
    );
    assert!(message(&fake).contains("kubectl exec -n press daily-mysql-0 -c mysql"), "{}", message(&fake));
    fake.edit(CLAIM, |claim| claim["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into());
    step(&fake).await.unwrap_err();
    assert!(message(&fake).contains("kubectl delete pod daily-mysql-0 -n press"), "{}", message(&fake));
    let mut successor = claim(&json!({"volumeName": "pv-2"}));
    successor["metadata"]["uid"] = "claim-2".into();
    fake.put(CLAIM, successor);
    assert_eq!(step(&fake).await.unwrap_err().reason(), "CredentialsMissing");
    let command = "kubectl annotate fb daily -n press flaskblog.dev/allow-empty-database=claim-2 --overwrite";
    assert!(message(&fake).contains(command), "{}", message(&fake));
    fake.edit(BLOG, |blog| {
        blog["metadata"]["annotations"] = json!({"flaskblog.dev/allow-empty-database": "claim-2"});
    });
    step(&fake).await.unwrap();
    assert!(fake.get(SECRET).is_some());
}

/// A PVC with request 4Gi, capacity 1Gi and this report.
fn growing(report: Value) -> Value {
    let mut growing = claim(&json!({"volumeName": "pv-1", "resources": {"requests": {"storage": "4Gi"}}}));
    growing["status"] = json!({"phase": "Bound", "capacity": {"storage": "1Gi"}});
    growing["status"].as_object_mut().unwrap().extend(report.as_object().unwrap().clone());
    growing
}

fn requested(fake: &FakeApi) -> Value {
    fake.get(CLAIM).unwrap()["spec"]["resources"]["requests"]["storage"].clone()
}

#[tokio::test]
async fn failed_growth_is_taken_back_above_the_capacity_only() {
    let infeasible = json!({"allocatedResourceStatuses": {"storage": "ControllerResizeInfeasible"}});
    let refused =
        json!({"conditions": [{"type": "NodeResizeError", "status": "True", "message": "no room"}]});
    for (report, size, expected) in [
        (infeasible, "2Gi", "2Gi"),
        (refused.clone(), "2Gi", "2Gi"),
        // Kubernetes refuses the capacity itself.
        (refused, "1Gi", "4Gi"),
        // Another client may have requested an expansion that doesn't fail.
        (json!({}), "2Gi", "4Gi"),
    ] {
        let fake = fake_with(json!({"database": {"managed": {"storage": {"size": "4Gi"}}}}));
        step(&fake).await.unwrap();
        fake.put(CLAIM, growing(report.clone()));
        workloads_become_ready(&fake, 2);
        fake.edit(BLOG, |blog| blog["spec"]["database"]["managed"]["storage"]["size"] = size.into());
        fake.take_writes();
        step(&fake).await.unwrap();
        assert_eq!(requested(&fake), expected, "{report}");
        let writes = fake.take_writes();
        assert!(!writes.iter().any(|write| write.contains("statefulsets")), "{writes:?}");
        let storage = &fake.get(BLOG).unwrap()["status"]["storage"];
        assert_eq!(storage, &json!({"requested": "4Gi", "capacity": "1Gi"}));
    }
}

#[tokio::test]
async fn refused_return_of_a_growth_is_reported_with_a_command() {
    let fake = fake_with(json!({"database": {"managed": {"storage": {"size": "4Gi"}}}}));
    step(&fake).await.unwrap();
    fake.put(CLAIM, growing(json!({"allocatedResourceStatuses": {"storage": "NodeResizeInfeasible"}})));
    workloads_become_ready(&fake, 2);
    step(&fake).await.unwrap();
    let message = condition(&fake, "StorageResizing")["message"].as_str().unwrap().to_owned();
    assert!(message.contains("set a SIZE above 1Gi and below 4Gi"), "{message}");
    fake.edit(BLOG, |blog| blog["spec"]["database"]["managed"]["storage"]["size"] = "2Gi".into());
    fake.disturb(|write, _| write.contains("persistentvolumeclaims").then_some(Fault::Refused(422)));
    step(&fake).await.unwrap();
    let resizing = condition(&fake, "StorageResizing");
    assert_eq!((&resizing["status"], &resizing["reason"]), (&json!("False"), &json!("ExpansionRefused")));
    let message = resizing["message"].as_str().unwrap();
    let command = r#"kubectl patch fb daily -n press --type=merge -p '{"spec":{"database":{"managed":{"storage":{"size":"4Gi"}}}}}'"#;
    assert!(message.ends_with(command), "{message}");
}

/// F10: the new blog must not keep the old one's dependents.
///
/// The garbage collector is behind.
#[tokio::test]
async fn data_of_an_earlier_blog_is_left_to_the_collector() {
    let fake = fake_with(json!({"deletionPolicy": "Delete"}));
    step(&fake).await.unwrap();
    fake.put(CLAIM, claim(&json!({"volumeName": "pv-1"})));
    step(&fake).await.unwrap();
    let kept = [CLAIM, SECRET].map(|path| fake.get(path).unwrap()["metadata"]["ownerReferences"].clone());
    start_over(&fake);
    assert_eq!(step(&fake).await.unwrap_err().reason(), "WaitingForCleanup");
    assert_eq!(
        [CLAIM, SECRET].map(|path| fake.get(path).unwrap()["metadata"]["ownerReferences"].clone()),
        kept
    );
    // The Secret is deleted first, while the PVC still exists.
    fake.remove(SECRET);
    assert_eq!(step(&fake).await.unwrap_err().reason(), "WaitingForCleanup");
    fake.remove(CLAIM);
    for secret in ["daily-session", "daily-mysql-tls"] {
        fake.remove(&format!("{NS}/secrets/{secret}"));
    }
    step(&fake).await.unwrap();
    assert!(fake.get(SECRET).is_some());
}
