//! The commands for objects that the API server or the operator refuses, run by a real kubectl.

use flaskblog_api::{Child, FlaskBlog, OwnedKind};
use k8s_openapi::{
    api::core::v1::{Secret, Service},
    api::rbac::v1::{Role, RoleBinding},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, CustomResourceExt,
    api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams},
};
use serde_json::json;

use crate::{
    follow::{create, edit, follow, is_over, reported},
    house::House,
    right::Right,
};

#[tokio::test]
async fn rejected_object_is_accepted_after_its_command() {
    let house = House::with_settled_blog("advice-rejected").await;
    let port = json!({"port": 80, "nodePort": 30070});
    create::<Service>(
        &house,
        json!({"metadata": {"name": "other"}, "spec": {"type": "NodePort", "ports": [port]}}),
    )
    .await;
    house.apply("blog", json!({"service": {"nodePort": 30070}})).await.unwrap();
    edit(&reported(&house, "Rejected").await, "30070", "30071").await;
    is_over(&house, "Rejected").await;
    let service = house.child("blog", Child::AppService).await;
    assert_eq!(service.data["spec"]["ports"][0]["nodePort"], 30071);
}

/// The operator lacks a permission, as after an upgrade without its chart.
#[tokio::test]
async fn missing_permission_is_granted_by_its_commands() {
    let user = "operator-advice-forbidden";
    let mut house = House::without_operator("advice-forbidden", user).await;
    let rights = Right::all().into_iter().filter(|one| !one.is("services", "patch"));
    let rules: Vec<_> = rights.map(|one| one.rule()).collect();
    create::<Role>(&house, json!({"metadata": {"name": "operator"}, "rules": rules})).await;
    create::<RoleBinding>(
        &house,
        json!({"metadata": {"name": "operator"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "operator"},
            "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": user}]}),
    )
    .await;
    house.start_operator().await;
    house.apply("blog", json!({})).await.unwrap();
    follow(&reported(&house, "Forbidden").await, "create role").await;
    house.child("blog", Child::AppService).await;
    is_over(&house, "Forbidden").await;
}

/// The CRD of another release allows an additional value.
#[tokio::test]
async fn unparsable_blog_is_corrected_by_its_command() {
    let house = House::with_settled_blog("advice-unparsable").await;
    let crds: Api<CustomResourceDefinition> = Api::all(house.admin.clone());
    let path = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/markup/enum/-";
    let patch = serde_json::from_value(json!([{"op": "add", "path": path, "value": "Wiki"}])).unwrap();
    crds.patch(FlaskBlog::crd_name(), &PatchParams::default(), &Patch::<()>::Json(patch)).await.unwrap();
    let spec = json!({"metadata": {"annotations": {"example.com/count": "1"}}, "spec": {"markup": "Wiki"}});
    let kind = ApiResource::erase::<FlaskBlog>(&());
    let blogs: Api<DynamicObject> = Api::namespaced_with(house.admin.clone(), &house.namespace, &kind);
    let accepted = async || blogs.patch("blog", &PatchParams::default(), &Patch::Merge(&spec)).await.ok();
    house.eventually("the definition allows the value", accepted).await;
    let unparsable = async || {
        let conditions = blogs.get("blog").await.unwrap().data["status"]["conditions"].clone();
        let degraded = conditions.as_array()?.iter().find(|one| one["type"] == "Degraded")?.clone();
        (degraded["reason"] == "InvalidSpec").then(|| degraded["message"].as_str().unwrap().to_owned())
    };
    edit(&house.eventually("InvalidSpec is reported", unparsable).await, "Wiki", "Plain").await;
    is_over(&house, "InvalidSpec").await;
    house.settled("blog", 2).await;
}

/// The finalizer of another client blocks the deletion of a child.
#[tokio::test]
async fn held_child_is_released_by_its_command() {
    let house = House::with_settled_blog("advice-held").await;
    let services = house.objects(OwnedKind::Service);
    let before = house.child("blog", Child::AppService).await.metadata.uid;
    let held = json!({"metadata": {"finalizers": ["example.com/hold"]}});
    services.patch("blog", &PatchParams::default(), &Patch::Merge(held)).await.unwrap();
    services.delete("blog", &DeleteParams::default()).await.unwrap();
    follow(&reported(&house, "WaitingForCleanup").await, "patch").await;
    let back = async || {
        let service = house.child_now("blog", Child::AppService).await?;
        (service.metadata.uid != before).then_some(())
    };
    house.eventually("the Service is back", back).await;
    is_over(&house, "WaitingForCleanup").await;
}

#[tokio::test]
async fn missing_secret_of_a_database_is_created_by_its_command() {
    let house = House::open("advice-secret").await;
    let external = json!({"host": "db.example", "credentialsSecret": "theirs"});
    house.apply("blog", json!({"database": {"external": external}})).await.unwrap();
    // The user fills in the login.
    let message = reported(&house, "CredentialsMissing")
        .await
        .replace("USERNAME", "u")
        .replace("PASSWORD_FILE", "/etc/hostname");
    follow(&message, "create secret").await;
    let secrets: Api<Secret> = Api::namespaced(house.admin.clone(), &house.namespace);
    assert_eq!(secrets.get("theirs").await.unwrap().data.unwrap().len(), 2);
    house.child("blog", Child::App).await;
    is_over(&house, "CredentialsMissing").await;
}
