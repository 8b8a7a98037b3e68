//! What the API server accepts, refuses and shows.

use kube::api::{DynamicObject, PostParams};
use serde_json::{Value, json};

use crate::house::House;

/// One row a rule: a value that it refuses, and words of the message that says what to write instead.
fn refused() -> Vec<(Value, &'static str)> {
    let storage = |storage: Value| json!({"database": {"managed": {"storage": storage}}});
    vec![
        (json!({"replicas": -1}), "greater than or equal to 0"),
        (json!({"replicas": 51}), "less than or equal to 50"),
        (json!({"image": "with space"}), "should match"),
        (json!({"image": ""}), "at least 1"),
        (
            json!({"imagePullPolicy": "Sometimes"}),
            "supported values: \"IfNotPresent\", \"Always\", \"Never\"",
        ),
        (json!({"title": ""}), "at least 1"),
        (json!({"title": "   "}), "one line of text with at least one visible character"),
        (json!({"title": "two\nlines"}), "one line of text"),
        (json!({"title": "x".repeat(101)}), "may not be more than 100"),
        (
            json!({"service": {"type": "Host"}}),
            "supported values: \"NodePort\", \"ClusterIP\", \"LoadBalancer\"",
        ),
        (json!({"service": {"port": 0}}), "greater than or equal to 1"),
        (json!({"service": {"port": 65536}}), "less than or equal to 65535"),
        (json!({"service": {"nodePort": 29999}}), "greater than or equal to 30000"),
        (json!({"service": {"nodePort": 32768}}), "less than or equal to 32767"),
        (json!({"service": {"type": "ClusterIP", "nodePort": 30500}}), "set one of them or remove nodePort"),
        (json!({"resources": {"limits": {"memory": "much"}}}), "should match"),
        (json!({"resources": {"limits": {"cpu": -1}}}), "greater than or equal to 0"),
        (storage(json!({"size": "65Ti"})), "must be at most 64Ti"),
        (storage(json!({"size": "1"})), "should match"),
        (storage(json!({"size": "255Mi"})), "must be at least 256Mi"),
        (storage(json!({"storageClassName": ""})), "at least 1"),
        (json!({"database": {"managed": {"image": " "}}}), "should match"),
        (json!({"deletionPolicy": "Keep"}), "supported values: \"Retain\", \"Delete\""),
    ]
}

#[tokio::test]
async fn every_illegal_value_is_refused_with_a_message_that_helps() {
    let house = House::open("refused").await;
    for (spec, words) in refused() {
        let error = house.apply("blog", spec.clone()).await.expect_err(&spec.to_string()).to_string();
        let flat = error.to_lowercase();
        assert!(flat.contains(&words.to_lowercase()), "{spec} was refused without {words:?}: {error}");
    }
}

#[tokio::test]
async fn names_that_would_break_child_objects_are_refused() {
    let house = House::open("names").await;
    for name in ["1blog", "my.blog", &"x".repeat(41)] {
        let error = house.apply(name, json!({})).await.expect_err(name).to_string();
        assert!(error.contains("at most 40 characters, begin with a letter"), "{name}: {error}");
    }
    house.apply(&"x".repeat(40), json!({})).await.unwrap();
}

#[tokio::test]
async fn legal_but_odd_values_are_accepted() {
    let house = House::open("accepted").await;
    let accepted = [
        json!({}),
        json!({"replicas": 0}),
        json!({"replicas": 50, "title": "日記 🦀 \"quoted\" <b>"}),
        json!({"title": "x".repeat(100)}),
        json!({"service": {"type": "ClusterIP", "port": 65535}}),
        json!({"service": {"type": "LoadBalancer", "nodePort": 32767}}),
        json!({"service": {"nodePort": 30000}}),
        json!({"resources": {"requests": {"cpu": 1, "memory": "64Mi"}, "limits": {"cpu": "1500m"}}}),
        json!({"database": {"managed": {"storage": {"size": "256Mi", "storageClassName": "fast"}}}}),
        json!({"imagePullPolicy": "Never", "image": "localhost:5001/a/b@sha256:0123", "deletionPolicy": "Delete"}),
    ];
    for (number, spec) in accepted.into_iter().enumerate() {
        house
            .apply(&format!("blog-{number}"), spec.clone())
            .await
            .unwrap_or_else(|error| panic!("{spec}: {error}"));
    }
}

#[tokio::test]
async fn storage_cannot_be_changed_afterwards_and_the_message_says_so() {
    let house = House::open("immutable").await;
    house.apply("blog", json!({})).await.unwrap();
    for (storage, words) in [
        (json!({"size": "2Gi"}), "storage.size can't change after creation"),
        (json!({"storageClassName": "fast"}), "storageClassName can't change"),
    ] {
        let spec = json!({"database": {"managed": {"storage": storage}}});
        let error = house.apply("blog", spec).await.unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    house.apply("blog", json!({"database": {"managed": {"storage": {"size": "1Gi"}}}})).await.unwrap();
}

#[tokio::test]
async fn unknown_fields_are_refused_for_strict_clients() {
    let house = House::open("strict").await;
    let body = json!({"apiVersion": "flaskblog.dev/v1alpha1", "kind": "FlaskBlog",
        "metadata": {"name": "blog"}, "spec": {"replica": 2}});
    let request = http::Request::post(
        "/apis/flaskblog.dev/v1alpha1/namespaces/strict/flaskblogs?fieldValidation=Strict",
    )
    .header("content-type", "application/json")
    .body(body.to_string().into_bytes())
    .unwrap();
    let error = house.admin.request::<Value>(request).await.unwrap_err().to_string();
    assert!(error.contains("unknown field \"spec.replica\""), "{error}");
}

#[tokio::test]
async fn kubectl_get_shows_the_columns_of_the_contract() {
    let house = House::open("columns").await;
    house.blog("blog", json!({})).await;
    house.settled("blog", 2).await;
    let request = http::Request::get("/apis/flaskblog.dev/v1alpha1/namespaces/columns/flaskblogs")
        .header("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
        .body(Vec::new())
        .unwrap();
    let table: Value = house.admin.request(request).await.unwrap();
    let columns = table["columnDefinitions"].as_array().unwrap();
    let names = |priority: i64| -> Vec<&str> {
        let these = columns.iter().filter(|column| column["priority"] == priority);
        these.map(|column| column["name"].as_str().unwrap()).collect()
    };
    assert_eq!(names(0), ["Name", "Ready", "Status", "Replicas", "Schema", "URL", "Age"]);
    assert_eq!(names(1), ["Image", "Message"]);
    let cells = table["rows"][0]["cells"].as_array().unwrap();
    assert_eq!(cells[..4], [json!("blog"), json!("True"), json!("Ready"), json!(2)]);
    assert!(cells[5].as_str().unwrap().starts_with("http://localhost:3"), "{cells:?}");
}

#[tokio::test]
async fn every_field_is_explained() {
    fn check(path: &str, schema: &Value) {
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            assert!(
                field["description"].as_str().is_some_and(|text| text.len() > 8),
                "{path} has no description"
            );
            if path != ".status.conditions" {
                check(&path, field);
            }
        }
    }
    use kube::CustomResourceExt;
    let crd = serde_json::to_value(flaskblog_api::FlaskBlog::crd()).unwrap();
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
    check(".spec", &schema["spec"]);
    check(".status", &schema["status"]);
}

/// The namespace enforces Pod Security `restricted`, so the API server itself judges the pods of the templates.
#[tokio::test]
async fn pods_of_both_templates_pass_pod_security_restricted() {
    use flaskblog_api::Child;
    use k8s_openapi::api::core::v1::Pod;
    let house = House::open("restricted").await;
    house.blog("blog", json!({})).await;
    let pods: kube::Api<Pod> = kube::Api::namespaced(house.admin.clone(), "restricted");
    for role in [Child::App, Child::Database] {
        let workload: DynamicObject = house.child("blog", role).await;
        let mut pod = workload.data["spec"]["template"].clone();
        pod["metadata"]["name"] = "probe".into();
        // The claim's volume is added by the StatefulSet controller, which doesn't run here.
        let volumes = pod["spec"]["volumes"].as_array_mut().unwrap();
        if role == Child::Database {
            volumes
                .push(json!({"name": "data", "persistentVolumeClaim": {"claimName": "data-blog-mysql-0"}}));
        }
        let pod: Pod = serde_json::from_value(pod).unwrap();
        let dry = PostParams { dry_run: true, ..PostParams::default() };
        pods.create(&dry, &pod).await.unwrap_or_else(|error| panic!("{role:?}: {error}"));
    }
}
