//! The commands of the conditions' messages, run unchanged with a real kubectl.
//!
//! The tests replace the controllers that this API server lacks: they bind PVCs, and remove finalizers and pods.

use flaskblog_api::{Child, OwnedKind};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod, Secret};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use crate::{
    follow::{change, contest, create, follow, is_over, reported},
    house::House,
};

const CLAIM: &str = "data-blog-mysql-0";

fn claims(house: &House) -> Api<PersistentVolumeClaim> {
    Api::namespaced(house.admin.clone(), &house.namespace)
}

/// Releases a PVC as its controller does when no pod uses it.
async fn release_claim(house: &House) {
    let released = json!({"metadata": {"finalizers": null}});
    claims(house).patch(CLAIM, &PatchParams::default(), &Patch::Merge(released)).await.unwrap();
}

fn labels() -> Value {
    json!({"app.kubernetes.io/name": "flaskblog", "app.kubernetes.io/instance": "blog",
        "app.kubernetes.io/managed-by": "flaskblog-operator"})
}

/// A PVC as the StatefulSet's controller creates it, bound or not.
async fn claim(house: &House, size: &str, volume: Option<&str>, labels: Value) {
    let body = json!({"metadata": {"name": CLAIM, "labels": labels},
        "spec": {"accessModes": ["ReadWriteOnce"], "volumeName": volume, "storageClassName": "none",
            "resources": {"requests": {"storage": size}}}});
    create::<PersistentVolumeClaim>(house, body).await;
    if volume.is_some() {
        let status = json!({"status": {"phase": "Bound", "capacity": {"storage": size}}});
        claims(house).patch_status(CLAIM, &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
    }
}

async fn secret(house: &House, labels: Value) {
    let data = json!({"root-password": "r", "username": "flaskr", "password": "p", "database": "flaskr"});
    create::<Secret>(
        house,
        json!({"metadata": {"name": "blog-mysql", "labels": labels}, "stringData": data}),
    )
    .await;
}

/// A blog that has served from that volume.
async fn served(namespace: &str, volume: &str) -> House {
    let house = House::open(namespace).await;
    let volumes: Api<PersistentVolume> = Api::all(house.admin.clone());
    let body = json!({"metadata": {"name": volume}, "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"],
        "storageClassName": "none", "hostPath": {"path": "/none"}, "persistentVolumeReclaimPolicy": "Delete",
        "claimRef": {"namespace": namespace, "name": CLAIM, "uid": "1", "resourceVersion": "1"}}});
    volumes.create(&PostParams::default(), &serde_json::from_value(body).unwrap()).await.unwrap();
    house.blog("blog", json!({})).await;
    claim(&house, "1Gi", Some(volume), labels()).await;
    house.settled("blog", 2).await;
    let recorded = async || {
        let secret = house.child("blog", Child::DatabaseSecret).await;
        let recorded = secret.metadata.annotations?.remove("flaskblog.dev/data-volume")?;
        (recorded == volume).then_some(())
    };
    house.eventually("the volume is recorded", recorded).await;
    house
}

#[tokio::test]
async fn name_conflict_ends_by_its_command() {
    let house = House::open("advice-conflict").await;
    create::<k8s_openapi::api::core::v1::Service>(
        &house,
        json!({"metadata": {"name": "blog"}, "spec": {"ports": [{"port": 1}]}}),
    )
    .await;
    house.apply("blog", json!({})).await.unwrap();
    follow(&reported(&house, "NameConflict").await, "delete services blog").await;
    is_over(&house, "NameConflict").await;
}

#[tokio::test]
async fn unmarked_secret_and_claim_are_marked_by_their_commands() {
    let house = House::open("advice-unmarked").await;
    secret(&house, json!({})).await;
    claim(&house, "1Gi", None, json!({})).await;
    house.apply("blog", json!({})).await.unwrap();
    for object in ["label secret", "label pvc"] {
        let message = house
            .eventually(object, || async {
                let conditions = house.blogs().get("blog").await.unwrap().status?.conditions;
                let degraded = conditions.into_iter().find(|one| one.type_ == "Degraded")?;
                degraded.message.contains(object).then_some(degraded.message)
            })
            .await;
        follow(&message, object).await;
    }
    is_over(&house, "NameConflict").await;
}

#[tokio::test]
async fn storage_mismatch_ends_by_its_command() {
    let house = House::open("advice-mismatch").await;
    secret(&house, labels()).await;
    claim(&house, "5Gi", None, labels()).await;
    release_claim(&house).await;
    house.apply("blog", json!({})).await.unwrap();
    follow(&reported(&house, "StorageMismatch").await, "delete pvc").await;
    is_over(&house, "StorageMismatch").await;
}

#[tokio::test]
async fn refused_versions_of_mysql_end_by_their_commands() {
    let house = House::with_settled_blog("advice-versions").await;
    for (image, reason, words) in [
        ("mysql:8.4", "DatabaseDowngrade", "mysql:9.7"),
        ("mysql:9.8", "UpgradeUnconfirmed", "allow"),
        ("mysql:latest", "UpgradeUnconfirmed", "=latest"),
    ] {
        house.apply("blog", json!({"database": {"managed": {"image": image}}})).await.unwrap();
        follow(&reported(&house, reason).await, words).await;
        is_over(&house, reason).await;
    }
}

#[tokio::test]
async fn pending_approval_ends_by_its_command() {
    let house = House::open("advice-approval").await;
    house.blog("blog", json!({"rolloutPolicy": "Manual"})).await;
    house.settled("blog", 2).await;
    house.apply("blog", json!({"rolloutPolicy": "Manual", "title": "Daily"})).await.unwrap();
    let message = house.condition("blog", "Ready", "False", "ApprovalPending").await;
    follow(&message, "annotate").await;
    is_over(&house, "ApprovalPending").await;
}

#[tokio::test]
async fn refused_growth_ends_by_its_command() {
    let house = House::open("advice-growth").await;
    house.blog("blog", json!({})).await;
    crate::database::bound_claim(&house, false).await;
    house.apply("blog", crate::database::sized("2Gi")).await.unwrap();
    follow(&reported(&house, "ExpansionRefused").await, "patch fb").await;
    is_over(&house, "ExpansionRefused").await;
}

/// The blog serves the data of a deleted PVC again.
#[tokio::test]
async fn deleted_volume_is_kept_and_bound_again_by_commands() {
    let house = served("advice-volume", "advice-kept").await;
    claims(&house).delete(CLAIM, &DeleteParams::default()).await.unwrap();
    follow(&reported(&house, "VolumeDeleting").await, "").await;
    let volumes: Api<PersistentVolume> = Api::all(house.admin.clone());
    let volume = volumes.get("advice-kept").await.unwrap().spec.unwrap();
    assert_eq!(volume.persistent_volume_reclaim_policy.as_deref(), Some("Retain"));
    assert_eq!(house.child("blog", Child::Database).await.data["spec"]["replicas"], 0);
    release_claim(&house).await;
    let message = reported(&house, "VolumeLost").await;
    let bind = message.split("To start with an empty database").next().unwrap();
    follow(bind, "").await;
    let volume = volumes.get("advice-kept").await.unwrap().spec.unwrap();
    assert_eq!(volume.claim_ref.unwrap().uid, None);
    assert_eq!(house.child("blog", Child::Database).await.data["spec"]["replicas"], 1);
    claim(&house, "1Gi", Some("advice-kept"), labels()).await;
    is_over(&house, "VolumeLost").await;
    house.settled("blog", 2).await;
}

#[tokio::test]
async fn lost_volume_is_given_up_by_its_command() {
    let house = served("advice-empty", "advice-gone").await;
    claims(&house).delete(CLAIM, &DeleteParams::default()).await.unwrap();
    release_claim(&house).await;
    follow(&reported(&house, "VolumeLost").await, "allow-empty-database").await;
    is_over(&house, "VolumeLost").await;
}

/// Without MySQL's pod the data is discarded, step by step.
#[tokio::test]
async fn lost_credentials_are_given_up_by_commands() {
    let house = served("advice-credentials", "advice-locked").await;
    let container = json!({"name": "mysql", "image": "mysql:9.7", "securityContext": {"allowPrivilegeEscalation": false,
        "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}}});
    create::<Pod>(&house, json!({"metadata": {"name": "blog-mysql-0"}, "spec": {"containers": [container]}}))
        .await;
    let secrets: Api<Secret> = Api::namespaced(house.admin.clone(), &house.namespace);
    secrets.delete("blog-mysql", &DeleteParams::default()).await.unwrap();
    follow(&reported(&house, "CredentialsMissing").await, "delete pvc").await;
    let message = house
        .eventually("the pod is the next step", || async {
            let message = reported(&house, "CredentialsMissing").await;
            message.contains("delete pod").then_some(message)
        })
        .await;
    follow(&message, "delete pod").await;
    release_claim(&house).await;
    claim(&house, "1Gi", None, labels()).await;
    let message = house
        .eventually("the empty claim is the next step", || async {
            let message = reported(&house, "CredentialsMissing").await;
            message.contains("allow-empty-database").then_some(message)
        })
        .await;
    follow(&message, "allow-empty-database").await;
    is_over(&house, "CredentialsMissing").await;
    house.child("blog", Child::DatabaseSecret).await;
}

/// The end of the contest is tested in `contests.rs`.
///
/// It takes more than a minute, and that test has a fake clock.
#[tokio::test]
async fn contest_is_explained_by_commands_that_work() {
    let house = House::with_settled_blog("advice-contest").await;
    let part_of = json!({"metadata": {"labels": {"app.kubernetes.io/part-of": "theirs"}}});
    contest(&house, async || change(&house, Child::AppService, &part_of).await).await;
    follow(&reported(&house, "Contested").await, "get services blog").await;
}

#[tokio::test]
async fn deleted_and_unwanted_objects_are_shown_by_commands() {
    let house = House::with_settled_blog("advice-deleting").await;
    let accounts = house.objects(OwnedKind::ServiceAccount);
    contest(&house, async || drop(accounts.delete("blog", &DeleteParams::default()).await)).await;
    follow(&reported(&house, "Contested").await, "get serviceaccounts").await;
    let house = House::with_settled_blog("advice-creating").await;
    let backend = json!({"service": {"name": "blog", "port": {"number": 5000}}});
    let ingress = json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "spec": {"defaultBackend": backend},
        "metadata": {"name": "blog", "labels": labels()}});
    let ingress = serde_json::from_value(ingress).unwrap();
    let (ingresses, theirs) = (
        house.objects(OwnedKind::Ingress),
        PostParams { field_manager: Some("theirs".into()), ..PostParams::default() },
    );
    contest(&house, async || drop(ingresses.create(&theirs, &ingress).await)).await;
    let printed = follow(&reported(&house, "Contested").await, "get ingresses blog").await;
    assert!(printed.contains("manager: theirs"), "{printed}");
}

#[tokio::test]
async fn autoscaler_of_the_deployment_is_deleted_by_its_command() {
    let house = House::with_settled_blog("advice-autoscaler").await;
    let autoscaler = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "mine"},
        "spec": {"minReplicas": 1, "maxReplicas": 3,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "blog"}}});
    let autoscalers = house.objects(Child::Autoscaler.kind());
    autoscalers.create(&PostParams::default(), &serde_json::from_value(autoscaler).unwrap()).await.unwrap();
    let replicas = json!({"spec": {"replicas": 3}});
    contest(&house, async || change(&house, Child::App, &replicas).await).await;
    follow(&reported(&house, "Contested").await, "delete horizontalpodautoscaler mine").await;
    assert!(autoscalers.get_opt("mine").await.unwrap().is_none());
}

#[tokio::test]
async fn owned_claim_is_released_by_its_command() {
    let house = served("advice-owned", "pv-owned").await;
    let owner = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "other", "uid": "other-uid"});
    let owned = json!({"metadata": {"ownerReferences": [owner]}});
    claims(&house).patch(CLAIM, &PatchParams::default(), &Patch::Merge(owned)).await.unwrap();
    follow(&reported(&house, "NameConflict").await, "patch pvc").await;
    is_over(&house, "NameConflict").await;
    assert_eq!(claims(&house).get(CLAIM).await.unwrap().metadata.owner_references.unwrap_or_default(), []);
}
