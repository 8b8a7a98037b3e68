//! Only one server uses MySQL's volume, whatever another client changes in the StatefulSet.

use flaskblog_api::Child;
use kube::api::{DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};

use crate::house::House;

fn names(set: &DynamicObject, list: &str) -> Vec<String> {
    let items = set.data["spec"]["template"]["spec"][list].as_array().cloned().unwrap_or_default();
    items.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
}

/// The fields that determine which containers use the volume.
fn layout(set: &DynamicObject) -> [Vec<String>; 3] {
    ["containers", "initContainers", "volumes"].map(|list| names(set, list))
}

fn second_mysql(volume: &str) -> Value {
    json!({"name": "mysqlx", "image": "mysql:9.7", "volumeMounts": [{"name": volume, "mountPath": "/var/lib/mysql"}]})
}

/// Edits the StatefulSet. Waits until the blog is ready without the edit.
async fn edit_and_recover<P: serde::Serialize + std::fmt::Debug>(
    house: &House,
    params: PatchParams,
    patch: Patch<P>,
) {
    let sets = house.objects(Child::Database.kind());
    let before = sets.get("blog-mysql").await.unwrap();
    let edited = sets.patch("blog-mysql", &params, &patch).await.unwrap();
    assert_ne!(layout(&edited), layout(&before), "the edit was carried out");
    house
        .eventually("the containers are the operator's again", || async {
            (layout(&sets.get("blog-mysql").await.unwrap()) == layout(&before)).then_some(())
        })
        .await;
    house
        .eventually("the blog isn't ready before MySQL runs that template", || async {
            let conditions = house.blogs().get("blog").await.unwrap().status.unwrap().conditions;
            conditions.iter().any(|one| one.type_ == "Ready" && one.status == "False").then_some(())
        })
        .await;
    house.settled("blog", 2).await;
    assert_eq!(layout(&sets.get("blog-mysql").await.unwrap()), layout(&before));
}

fn json_patch(operations: Value) -> Patch<()> {
    Patch::Json(serde_json::from_value(operations).unwrap())
}

#[tokio::test]
async fn second_container_on_the_data_volume_is_removed() {
    let house = House::with_settled_blog("second-mysql").await;
    for list in ["containers", "initContainers"] {
        let path = format!("/spec/template/spec/{list}/-");
        let add = json!([{"op": "add", "path": path, "value": second_mysql("data")}]);
        edit_and_recover(&house, PatchParams::default(), json_patch(add)).await;
    }
}

#[tokio::test]
async fn renamed_mysql_container_does_not_stay_beside_ours() {
    let house = House::with_settled_blog("renamed-mysql").await;
    let rename =
        json!([{"op": "replace", "path": "/spec/template/spec/containers/0/name", "value": "mysqlx"}]);
    edit_and_recover(&house, PatchParams::default(), json_patch(rename)).await;
}

/// The edit uses another volume name and its own field manager.
#[tokio::test]
async fn applied_container_on_the_claim_itself_is_removed() {
    let house = House::with_settled_blog("claim-mysql").await;
    let volume = json!({"name": "again", "persistentVolumeClaim": {"claimName": "data-blog-mysql-0"}});
    let spec = json!({"template": {"spec": {"containers": [second_mysql("again")], "volumes": [volume]}}});
    let apply = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "blog-mysql"}, "spec": spec});
    edit_and_recover(&house, PatchParams::apply("sidecars"), Patch::Apply(apply)).await;
}

/// The edit already restarts MySQL.
///
/// Waiting for an approval would leave two servers on the volume.
#[tokio::test]
async fn second_container_is_removed_without_an_approval() {
    let house = House::open("unapproved-mysql").await;
    house.blog("blog", json!({"rolloutPolicy": "Manual"})).await;
    house.settled("blog", 2).await;
    let add =
        json!([{"op": "add", "path": "/spec/template/spec/containers/-", "value": second_mysql("data")}]);
    edit_and_recover(&house, PatchParams::default(), json_patch(add)).await;
}
