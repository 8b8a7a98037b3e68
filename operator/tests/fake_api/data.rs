//! Owners of data and credentials under every fault.

use serde_json::json;

use super::*;

#[tokio::test]
async fn old_data_without_its_password_is_never_given_a_new_one() {
    let fake = fake_with(json!({}));
    fake.put(CLAIM, claim(&json!({"volumeName": "pv"})));
    assert_eq!(step(&fake).await.unwrap_err().reason(), "CredentialsMissing");
    assert!(fake.get(&format!("{NS}/secrets/daily-mysql")).is_none());
}

#[tokio::test]
async fn a_strangers_volume_is_not_taken_and_nobody_is_advised_to_delete_it() {
    let fake = fake_with(json!({}));
    let mut stranger = claim(&json!({"volumeName": "pv"}));
    stranger["metadata"]["labels"] =
        json!({"app.kubernetes.io/name": "mysql", "app.kubernetes.io/instance": "daily"});
    fake.put(CLAIM, stranger);
    assert_eq!(step(&fake).await.unwrap_err().reason(), "NameConflict");
    let message = condition(&fake, "Ready")["message"].to_string();
    assert!(message.contains("label it") && !message.contains("delete"), "{message}");
    let made = fake.take_writes();
    assert!(
        !made.iter().any(|write| write.contains("daily-mysql-0") || write.contains("secrets/daily-mysql ")),
        "{made:?}"
    );
    assert!(fake.get(&format!("{NS}/secrets/daily-mysql")).is_none(), "a password that isn't the data's");
    assert!(fake.get(&format!("{APPS}/statefulsets/daily-mysql")).is_none());
}

/// Fault case 7: a missing class, then the right one. The PVC of the first attempt stays pending for ever.
#[tokio::test]
async fn a_claim_that_never_got_a_volume_and_asks_for_something_else_is_reported_with_the_command() {
    let spec = json!({"database": {"managed": {"storage": {"storageClassName": "standard"}}}});
    let asks = |class: &str, size: &str| json!({"storageClassName": class, "resources": {"requests": {"storage": size}}});
    for other in [asks("no-such-class", "1Gi"), asks("standard", "2Gi")] {
        let fake = fake_with(spec.clone());
        fake.put(CLAIM, claim(&other));
        assert_eq!(step(&fake).await.unwrap_err().reason(), "StorageMismatch");
        let message = condition(&fake, "Ready")["message"].to_string();
        assert!(message.contains("kubectl delete pvc data-daily-mysql-0 --namespace press"), "{message}");
        fake.remove(CLAIM);
        step(&fake).await.unwrap();
    }
    let fake = fake_with(spec);
    fake.put(CLAIM, claim(&asks("standard", "1024Mi")));
    assert_eq!(step(&fake).await.unwrap_err().reason(), "CredentialsMissing", "the same class and size");
}

/// Users rely on `Retain`, also while another object is refused.
#[tokio::test]
async fn retain_takes_effect_though_the_rest_of_the_spec_fails() {
    for obstacle in ["a refused write", "a stranger's object"] {
        let fake = fake_with(json!({"deletionPolicy": "Delete"}));
        step(&fake).await.unwrap();
        fake.put(CLAIM, claim(&json!({"volumeName": "pv"})));
        step(&fake).await.unwrap();
        assert_eq!(fake.get(CLAIM).unwrap()["metadata"]["ownerReferences"][0]["uid"], "blog-uid");
        fake.edit(BLOG, |blog| blog["spec"] = json!({"title": "Changed", "service": {"nodePort": 30500}}));
        if obstacle == "a refused write" {
            fake.disturb(|line, _| (line == "PATCH services/daily").then_some(Fault::Refused(422)));
        } else {
            fake.edit(PDB, |pdb| pdb["metadata"] = json!({"name": "daily", "uid": "x"}));
        }
        step(&fake).await.unwrap_err();
        let secrets = ["daily-mysql", "daily-session"].map(|name| format!("{NS}/secrets/{name}"));
        for kept in secrets.iter().map(String::as_str).chain([CLAIM]) {
            let owners = &fake.get(kept).unwrap()["metadata"]["ownerReferences"];
            assert!(owners.as_array().is_none_or(Vec::is_empty), "{obstacle}: {kept} belongs to {owners}");
        }
    }
}

#[tokio::test]
async fn kept_secrets_are_taken_up_again_unchanged() {
    let fake = fake_with(json!({}));
    step(&fake).await.unwrap();
    let secret = format!("{NS}/secrets/daily-mysql");
    let before = fake.get(&secret).unwrap();
    assert!(before["metadata"]["ownerReferences"].is_null(), "Retain: no owner, so no garbage collection");
    for gone in [format!("{APPS}/deployments/daily"), format!("{APPS}/statefulsets/daily-mysql")] {
        fake.remove(&gone);
    }
    for gone in [
        format!("{NS}/services/daily"),
        format!("{NS}/services/daily-mysql"),
        format!("{NS}/serviceaccounts/daily"),
        format!("{NS}/secrets/daily-mysql-tls"),
        format!("{POLICIES}/daily"),
        format!("{POLICIES}/daily-mysql"),
        PDB.into(),
    ] {
        fake.remove(&gone);
    }
    fake.edit(BLOG, |blog| blog["metadata"]["uid"] = "second-uid".into());
    step(&fake).await.unwrap();
    assert_eq!(fake.get(&secret).unwrap()["stringData"], before["stringData"]);
}

#[tokio::test]
async fn objects_of_a_deleted_blog_of_the_same_name_are_waited_for() {
    let fake = fake_with(json!({}));
    step(&fake).await.unwrap();
    fake.edit(BLOG, |blog| blog["metadata"]["uid"] = "second-uid".into());
    fake.take_writes();
    assert_eq!(step(&fake).await.unwrap_err().reason(), "WaitingForCleanup");
    assert_eq!(fake.take_writes(), ["PATCH flaskblogs/daily/status"]);
}

#[tokio::test]
async fn delete_as_policy_gives_the_secrets_an_owner() {
    let fake = fake_with(json!({"deletionPolicy": "Delete"}));
    step(&fake).await.unwrap();
    for name in ["daily-mysql", "daily-session"] {
        let secret = fake.get(&format!("{NS}/secrets/{name}")).unwrap();
        assert_eq!(secret["metadata"]["ownerReferences"][0]["uid"], "blog-uid", "{name}");
    }
    let set = fake.get(&format!("{APPS}/statefulsets/daily-mysql")).unwrap();
    assert_eq!(set["spec"]["persistentVolumeClaimRetentionPolicy"]["whenDeleted"], "Retain");
    fake.put(CLAIM, claim(&json!({"volumeName": "pv"})));
    step(&fake).await.unwrap();
    assert_eq!(fake.get(CLAIM).unwrap()["metadata"]["ownerReferences"][0]["uid"], "blog-uid");
    fake.edit(BLOG, |blog| blog["spec"]["deletionPolicy"] = "Retain".into());
    step(&fake).await.unwrap();
    assert_eq!(fake.get(CLAIM).unwrap()["metadata"]["ownerReferences"], json!([]));
}

#[tokio::test]
async fn no_generated_secret_appears_in_status_events_or_workloads() {
    let fake = fake_with(json!({}));
    step(&fake).await.unwrap();
    let secrets: Vec<String> = crate::SECRETS
        .iter()
        .flat_map(|name| {
            let secret = fake.get(&format!("{NS}/secrets/{name}")).unwrap();
            let data = secret["stringData"].as_object().unwrap().clone();
            data.into_iter().filter(|(key, _)| !["username", "database"].contains(&key.as_str()))
        })
        .filter_map(|(_, value)| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned))
        .collect();
    assert_eq!(secrets.len(), 7);
    let mut everything = fake.normalized();
    everything.retain(|path, _| !path.contains("/secrets/"));
    let text = format!("{everything:?}{:?}", fake.events());
    assert!(secrets.iter().all(|secret| !text.contains(secret.as_str())));
}
