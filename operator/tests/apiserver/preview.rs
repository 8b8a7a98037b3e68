//! `operator plan` and `operator render` beside the operator itself.

use std::{collections::BTreeMap, process::Command};

use flaskblog_api::Child;
use kube::{
    Api,
    api::{DynamicObject, Patch, PatchParams},
    core::{ApiResource, GroupVersionKind},
};
use operator::{cli::plan::preview, model::settings::Settings};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::house::House;

async fn plan_of(house: &House, change: impl FnOnce(&mut Value)) -> String {
    let blog = house.blogs().get("blog").await.unwrap();
    let mut value = serde_json::to_value(blog).unwrap();
    change(&mut value);
    let blog = serde_json::from_value(value).unwrap();
    preview(house.admin.clone(), blog, Settings::for_image("flaskblog/blog-app:newer")).await.unwrap().text
}

#[tokio::test]
async fn a_plan_names_each_change_and_its_effect_and_changes_nothing() {
    let house = House::open("planned").await;
    house.blog("blog", json!({})).await;
    house.settled("blog", 2).await;
    let before = house.versions("blog").await;
    let nothing = plan_of(&house, |_| {}).await;
    assert_eq!(nothing, "nothing: planned/blog is as its spec says\n", "a newer release restarts nothing");
    let title = plan_of(&house, |blog| blog["spec"]["title"] = "Other".into()).await;
    assert_eq!(title, "Deployment blog: rolling restart of the replicas, no request fails\n");
    let many = plan_of(&house, |blog| {
        blog["spec"]["replicas"] = 1.into();
        blog["spec"]["ingress"] = json!({"host": "a.example.org"});
        blog["spec"]["database"]["managed"] = json!({"config": {"max_connections": "100"}});
    })
    .await;
    assert_eq!(
        many,
        "StatefulSet blog-mysql: restart of MySQL, writes have to wait for some seconds\nDeployment blog: rolling restart of the replicas, no request fails\n\
         Ingress blog: create\nPodDisruptionBudget blog: delete\n"
    );
    assert_eq!(house.versions("blog").await, before);
}

fn operator(arguments: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_operator")).args(arguments).output().unwrap();
    (
        output.status.success(),
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap(),
    )
}

/// A blog without an operator has the same objects.
///
/// An operator that is installed later adopts them unchanged.
#[tokio::test]
async fn what_is_rendered_is_what_the_operator_applies_and_is_taken_over_without_a_restart() {
    let mut house = House::open("rendered").await;
    let spec = json!({"title": "Rendered", "replicas": 3, "image": "mine:1"});
    house.blog("original", spec.clone()).await;
    house.stop_operator();
    let file = tempfile::NamedTempFile::new().unwrap();
    let blog = json!({"apiVersion": "flaskblog.dev/v1alpha1", "kind": "FlaskBlog", "metadata": {"name": "twin"}, "spec": spec});
    std::fs::write(file.path(), blog.to_string()).unwrap();
    let (ok, yaml) = operator(&["render", "-f", file.path().to_str().unwrap(), "-n", "rendered"]);
    assert!(ok, "{yaml}");
    for document in serde_yaml::Deserializer::from_str(&yaml) {
        let object: DynamicObject = serde_json::from_value(Value::deserialize(document).unwrap()).unwrap();
        let types = object.types.clone().unwrap();
        let (group, version) = types.api_version.split_once('/').unwrap_or(("", &types.api_version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &types.kind));
        let api: Api<DynamicObject> = Api::namespaced_with(house.admin.clone(), "rendered", &resource);
        let name = object.metadata.name.clone().unwrap();
        api.patch(&name, &PatchParams::apply("kubectl"), &Patch::Apply(object)).await.unwrap();
    }
    let shape = async |name: &str| -> BTreeMap<Child, Value> {
        let mut shape = BTreeMap::new();
        for role in Child::ALL {
            let Some(object) = house.child_now(name, role).await else { continue };
            let labels = json!(object.metadata.labels);
            let mut body =
                json!({"labels": labels, "spec": object.data["spec"]}).to_string().replace(name, "NAME");
            if role.kind() == flaskblog_api::OwnedKind::Service {
                let mut value: Value = serde_json::from_str(&body).unwrap();
                for chosen in ["clusterIP", "clusterIPs"] {
                    value["spec"].as_object_mut().unwrap().remove(chosen);
                }
                value["spec"]["ports"][0].as_object_mut().unwrap().remove("nodePort");
                body = value.to_string();
            }
            shape.insert(role, serde_json::from_str(&body).unwrap());
        }
        shape
    };
    assert_eq!(shape("twin").await, shape("original").await);
    let before = house.child("twin", Child::App).await;
    house.start_operator().await;
    house.apply("twin", json!({"title": "Rendered", "replicas": 3, "image": "mine:1"})).await.unwrap();
    house.settled("twin", 3).await;
    let after = house.child("twin", Child::App).await;
    assert_eq!(
        (&after.metadata.uid, after.metadata.generation),
        (&before.metadata.uid, before.metadata.generation)
    );
}

#[test]
fn a_file_that_is_no_blog_is_refused_with_its_name() {
    let (ok, text) = operator(&["render", "-f", "/no/such/file"]);
    assert!(!ok && text.contains("failed to read /no/such/file"), "{text}");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "kind: Pod").unwrap();
    let (ok, text) = operator(&["render", "-f", file.path().to_str().unwrap()]);
    assert!(!ok && text.contains("is no FlaskBlog"), "{text}");
}

fn documents(arguments: &[&str]) -> Vec<DynamicObject> {
    let file = tempfile::NamedTempFile::new().unwrap();
    let blog = json!({"apiVersion": "flaskblog.dev/v1alpha1", "kind": "FlaskBlog", "metadata": {"name": "x"}, "spec": {}});
    std::fs::write(file.path(), blog.to_string()).unwrap();
    let (ok, yaml) =
        operator(&[&["render", "-n", "press", "-f", file.path().to_str().unwrap()], arguments].concat());
    assert!(ok, "{yaml}");
    let documents = serde_yaml::Deserializer::from_str(&yaml);
    documents.map(|one| serde_json::from_value(Value::deserialize(one).unwrap()).unwrap()).collect()
}

#[test]
fn secrets_can_be_rendered_apart_and_a_namespace_in_front() {
    let kinds = |arguments: &[&str]| -> Vec<String> {
        documents(arguments).into_iter().map(|one| one.types.unwrap().kind).collect()
    };
    let (all, rest, secrets) = (kinds(&[]), kinds(&["--without-secrets"]), kinds(&["--only-secrets"]));
    assert_eq!(secrets, ["Secret"; 3]);
    assert!(!rest.contains(&"Secret".to_owned()));
    assert_eq!(all.len(), rest.len() + secrets.len());
    assert_eq!(kinds(&["--create-namespace", "--only-secrets"]), ["Namespace", "Secret", "Secret", "Secret"]);
}
