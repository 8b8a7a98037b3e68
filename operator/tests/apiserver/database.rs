//! The database: volume expansion, changed settings, and external servers.

use flaskblog_api::Child;
use k8s_openapi::api::{
    core::v1::{PersistentVolumeClaim, Secret},
    storage::v1::StorageClass,
};
use kube::{
    Api, ResourceExt,
    api::{DynamicObject, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use crate::house::House;

pub fn sized(size: &str) -> Value {
    json!({"database": {"managed": {"storage": {"size": size}}}})
}

/// A bound PVC, of a class that may or may not expand.
pub async fn bound_claim(house: &House, expands: bool) -> Api<PersistentVolumeClaim> {
    let class = format!("class-{}", house.namespace);
    let classes: Api<StorageClass> = Api::all(house.admin.clone());
    let body = json!({"metadata": {"name": class}, "provisioner": "example.org/fake", "allowVolumeExpansion": expands});
    classes.create(&PostParams::default(), &serde_json::from_value(body).unwrap()).await.unwrap();
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(house.admin.clone(), &house.namespace);
    let body = json!({"metadata": {"name": "data-blog-mysql-0", "labels": {"app.kubernetes.io/name": "flaskblog",
            "app.kubernetes.io/instance": "blog"}},
        "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": class, "volumeName": "pv",
            "resources": {"requests": {"storage": "1Gi"}}}});
    claims.create(&PostParams::default(), &serde_json::from_value(body).unwrap()).await.unwrap();
    let status = json!({"status": {"phase": "Bound", "capacity": {"storage": "1Gi"}}});
    claims.patch_status("data-blog-mysql-0", &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
    claims
}

fn template_size(set: &DynamicObject) -> String {
    let size = set.data.pointer("/spec/volumeClaimTemplates/0/spec/resources/requests/storage");
    size.and_then(Value::as_str).unwrap().to_owned()
}

/// The StatefulSet that replaces one without its pod. The test removes the finalizer as the garbage collector does.
async fn recreated(house: &House, before: &DynamicObject) -> DynamicObject {
    let sets = house.objects(Child::Database.kind());
    house
        .eventually("the old StatefulSet is going without its pod", || async {
            let old = sets.get_opt("blog-mysql").await.unwrap().filter(|set| set.uid() == before.uid())?;
            old.finalizers().iter().any(|one| one == "orphan").then_some(())
        })
        .await;
    let released = json!({"metadata": {"finalizers": null}});
    sets.patch("blog-mysql", &PatchParams::default(), &Patch::Merge(released)).await.unwrap();
    house
        .eventually("it is there again", || async {
            sets.get_opt("blog-mysql").await.unwrap().filter(|set| set.uid() != before.uid())
        })
        .await
}

/// The volume expands although MySQL isn't ready here.
#[tokio::test]
async fn a_larger_size_grows_the_claim_and_then_makes_the_statefulset_anew_as_an_orphan() {
    let house = House::open("grows").await;
    house.blog("blog", sized("1Gi")).await;
    let claims = bound_claim(&house, true).await;
    let before = house.child("blog", Child::Database).await;
    house.apply("blog", sized("2Gi")).await.unwrap();
    let request = |claim: PersistentVolumeClaim| {
        claim.spec.unwrap().resources.unwrap().requests.unwrap()["storage"].0.clone()
    };
    house
        .eventually("the claim asks for more", || async {
            (request(claims.get("data-blog-mysql-0").await.unwrap()) == "2Gi").then_some(())
        })
        .await;
    house.condition("blog", "StorageResizing", "True", "Resizing").await;
    let after = recreated(&house, &before).await;
    assert_eq!(template_size(&after), "2Gi");
    assert_eq!(after.data["spec"]["template"], before.data["spec"]["template"], "the pod would be restarted");
    let grown = json!({"status": {"capacity": {"storage": "2Gi"}}});
    claims.patch_status("data-blog-mysql-0", &PatchParams::default(), &Patch::Merge(grown)).await.unwrap();
    house.settled("blog", 2).await;
    let conditions = house.blogs().get("blog").await.unwrap().status.unwrap().conditions;
    assert!(conditions.iter().all(|one| one.type_ != "StorageResizing"), "{conditions:?}");
}

#[tokio::test]
async fn a_class_that_cannot_expand_is_reported_and_nothing_is_torn_down() {
    let house = House::open("fixed").await;
    house.blog("blog", sized("1Gi")).await;
    let claims = bound_claim(&house, false).await;
    let before = house.child("blog", Child::Database).await;
    house.apply("blog", sized("2Gi")).await.unwrap();
    let message = house.condition("blog", "StorageResizing", "False", "ExpansionRefused").await;
    assert!(message.contains("stays at 1Gi") && message.contains("allowVolumeExpansion"), "{message}");
    house.condition("blog", "Degraded", "True", "ExpansionRefused").await;
    house.workloads_become_ready("blog", 2).await;
    house.condition("blog", "Ready", "True", "Ready").await;
    let after = house.child("blog", Child::Database).await;
    assert_eq!((after.uid(), template_size(&after)), (before.uid(), "1Gi".to_owned()));
    assert!(claims.get("data-blog-mysql-0").await.unwrap().metadata.deletion_timestamp.is_none());
}

#[tokio::test]
async fn refused_growth_is_taken_back_and_a_real_shrink_is_not() {
    let house = House::open("taken-back").await;
    house.blog("blog", sized("1Gi")).await;
    let claims = bound_claim(&house, false).await;
    let before = house.child("blog", Child::Database).await;
    house.apply("blog", sized("3Gi")).await.unwrap();
    let message = house.condition("blog", "StorageResizing", "False", "ExpansionRefused").await;
    assert!(message.contains(r#"{"storage":{"size":"1Gi"}}"#), "{message}");
    let refused = house.apply("blog", sized("512Mi")).await.unwrap_err().to_string();
    assert!(refused.contains("it can return to status.storage.requested"), "{refused}");
    house.apply("blog", sized("2Gi")).await.unwrap();
    // An empty spec means the default, which is the size of the PVC.
    house.apply("blog", json!({})).await.unwrap();
    house.settled("blog", 2).await;
    let status = house.blogs().get("blog").await.unwrap().status.unwrap();
    assert!(status.conditions.iter().all(|one| one.type_ != "StorageResizing"), "{status:?}");
    let storage = status.storage.unwrap();
    assert_eq!((storage.requested.as_str(), storage.capacity.as_deref()), ("1Gi", Some("1Gi")));
    let after = house.child("blog", Child::Database).await;
    assert_eq!((after.uid(), after.metadata.generation), (before.uid(), before.metadata.generation));
    let events = house.events().await;
    assert!(
        claims.get("data-blog-mysql-0").await.unwrap().metadata.deletion_timestamp.is_none(),
        "{events:?}"
    );
}

/// Kubernetes itself lets the request return to a size above the capacity.
#[tokio::test]
async fn failed_growth_returns_to_a_size_above_the_capacity() {
    let house = House::open("failed-growth").await;
    house.blog("blog", sized("1Gi")).await;
    let claims = bound_claim(&house, true).await;
    let before = house.child("blog", Child::Database).await;
    let request = |size: &'static str| {
        let claims = claims.clone();
        async move {
            let claim = claims.get("data-blog-mysql-0").await.unwrap();
            let requests = claim.spec.unwrap().resources.unwrap().requests.unwrap();
            (requests["storage"].0 == size).then_some(())
        }
    };
    house.apply("blog", sized("4Gi")).await.unwrap();
    house.eventually("the claim asks for more", || request("4Gi")).await;
    let larger = recreated(&house, &before).await;
    let failed = json!({"status": {"allocatedResources": {"storage": "4Gi"},
        "allocatedResourceStatuses": {"storage": "ControllerResizeInfeasible"}}});
    claims.patch_status("data-blog-mysql-0", &PatchParams::default(), &Patch::Merge(failed)).await.unwrap();
    house
        .eventually("the way back is named", || async {
            let conditions = house.blogs().get("blog").await.unwrap().status.unwrap_or_default().conditions;
            let resizing = conditions.into_iter().find(|one| one.type_ == "StorageResizing")?;
            resizing.message.contains("set a SIZE above 1Gi and below 4Gi").then_some(())
        })
        .await;
    let refused = house.apply("blog", sized("1Gi")).await.unwrap_err().to_string();
    assert!(refused.contains("any size above status.storage.capacity"), "{refused}");
    house.apply("blog", sized("2Gi")).await.unwrap();
    house.eventually("the claim asks for less", || request("2Gi")).await;
    assert_eq!(template_size(&recreated(&house, &larger).await), "2Gi");
}

#[tokio::test]
async fn settings_of_mysql_roll_it_when_they_change_and_only_then() {
    let house = House::open("settings").await;
    let configured = |config: Value| json!({"database": {"managed": {"config": config}}});
    house.blog("blog", configured(json!({"max_connections": "200"}))).await;
    let arguments = |set: &DynamicObject| {
        let all = set.data["spec"]["template"]["spec"]["containers"][0]["args"].clone();
        all.as_array().unwrap()[..2].to_vec()
    };
    let first = house.child("blog", Child::Database).await;
    assert_eq!(arguments(&first), ["--innodb-buffer-pool-size=536870912", "--max-connections=200"]);
    house.apply("blog", configured(json!({}))).await.unwrap();
    let second = house
        .eventually("the default is back", || async {
            let set = house.child("blog", Child::Database).await;
            (arguments(&set) != arguments(&first)).then_some(set)
        })
        .await;
    assert_eq!(arguments(&second)[1], "--max-connections=600");
    let labels = json!({"metadata": {"labels": {"team": "press"}}});
    house
        .objects(Child::Database.kind())
        .patch("blog-mysql", &PatchParams::default(), &Patch::Merge(labels))
        .await
        .unwrap();
    house.settled("blog", 2).await;
    let third = house.child("blog", Child::Database).await;
    assert_eq!(third.metadata.generation, second.metadata.generation);
    assert_eq!(third.labels()["team"], "press");
}

#[tokio::test]
async fn an_external_database_needs_no_mysql_and_its_missing_secret_is_named() {
    let house = House::open("external").await;
    let spec = json!({"database": {"external": {"host": "db.example.org", "port": 3307, "database": "posts",
        "credentialsSecret": "blog-db", "tls": "VerifyIdentity"}}});
    house.apply("blog", spec).await.unwrap();
    let message = house.condition("blog", "Ready", "False", "CredentialsMissing").await;
    assert!(message.contains("Secret blog-db") && message.contains("username and password"), "{message}");
    let secrets: Api<Secret> = Api::namespaced(house.admin.clone(), &house.namespace);
    let secret = json!({"metadata": {"name": "blog-db"}, "stringData": {"username": "u", "password": "p", "ca.crt": "c"}});
    secrets.create(&PostParams::default(), &serde_json::from_value(secret).unwrap()).await.unwrap();
    let deployment = house.child("blog", Child::App).await;
    let container = &deployment.data["spec"]["template"]["spec"]["containers"][0];
    let value = |name: &str| {
        let all = container["env"].as_array().unwrap();
        all.iter().find(|one| one["name"] == name).map(|one| one["value"].clone()).unwrap_or_default()
    };
    assert_eq!(value("BLOG_DATABASE_HOST"), "db.example.org");
    assert_eq!(value("BLOG_DATABASE_PORT"), "3307");
    assert_eq!(value("BLOG_DATABASE_NAME"), "posts");
    assert_eq!(value("BLOG_DATABASE_TLS"), "VerifyIdentity");
    assert_eq!(value("BLOG_DATABASE_CA_FILE"), "/etc/blog/database/ca.crt");
    house.condition("blog", "DatabaseReady", "False", "DatabaseUnreachable").await;
    let status = json!({"status": {"observedGeneration": deployment.metadata.generation, "replicas": 2,
        "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2}});
    house.patch_status(Child::App, "blog", status).await;
    house.condition("blog", "Ready", "True", "Ready").await;
    house.condition("blog", "DatabaseReady", "True", "Available").await;
    for role in [Child::Database, Child::DatabaseService, Child::DatabaseSecret, Child::DatabasePolicy] {
        assert!(house.child_now("blog", role).await.is_none(), "{role:?} was made");
    }
    assert!(
        secrets.get("blog-db").await.unwrap().metadata.managed_fields.unwrap().len() == 1,
        "a stranger's Secret"
    );
}
