//! Values that the API server accepts, refuses and shows.

use kube::api::{DynamicObject, PostParams};
use serde_json::{Value, json};

use crate::{
    house::House,
    refused_later::{refused_amounts_and_names, refused_later},
};

/// Refused values, one per rule, with the remedy of the message.
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

/// Refused values of optional fields.
fn refused_features() -> Vec<(Value, &'static str)> {
    vec![
        (json!({"rolloutPolicy": "Never"}), "supported values: \"Immediate\", \"Manual\""),
        (json!({"registration": "Maybe"}), "supported values: \"Open\", \"Closed\""),
        (json!({"markup": "Html"}), "supported values: \"Plain\", \"Markdown\""),
        (
            json!({"autoscaling": {"minReplicas": 5, "maxReplicas": 4}}),
            "minReplicas must be at most maxReplicas",
        ),
        (json!({"autoscaling": {"maxReplicas": 51}}), "less than or equal to 50"),
        (json!({"autoscaling": {"minReplicas": 0, "maxReplicas": 4}}), "greater than or equal to 1"),
        (json!({"autoscaling": {"minReplicas": 1}}), "maxReplicas: Required value"),
        (json!({"rotation": {"passwordDays": 0}}), "greater than or equal to 1"),
        (json!({"rotation": {"sessionKeyDays": 3651}}), "less than or equal to 3650"),
        (json!({"ingress": {"host": "Blog_1"}}), "should match"),
        (json!({"ingress": {"className": "traefik"}}), "host: Required value"),
        (
            json!({"ingress": {"host": "a.example", "annotations": {"flaskblog.dev/desired-hash": "x"}}}),
            "ingress.annotations can't hold keys that begin with flaskblog.dev/",
        ),
    ]
}

fn refused_databases() -> Vec<(Value, &'static str)> {
    let config = |config: Value| json!({"database": {"managed": {"config": config}}});
    let external = |field: &str, value: Value| {
        let mut external = json!({"host": "db.example.org", "credentialsSecret": "blog-db"});
        external[field] = value;
        json!({"database": {"external": external}})
    };
    let mut rows = vec![
        (
            json!({"database": {"managed": {}, "external": {"host": "a", "credentialsSecret": "b"}}}),
            "managed or external, not both",
        ),
        (external("host", json!("a b")), "should match"),
        (external("port", json!(0)), "greater than or equal to 1"),
        (external("credentialsSecret", json!("Not a name")), "should match"),
        (external("tls", json!("Sometimes")), "supported values: \"Disabled\", \"Preferred\""),
        (external("database", json!("a/b")), "should match"),
        (config(json!({"Max-Connections": "1"})), "written with small letters"),
        (config(json!({"max_connections": "1\n2"})), "should match"),
    ];
    rows.extend(
        [
            "datadir",
            "datad",
            "port",
            "ssl_ca",
            "skip_grant_tables",
            "loose_datadir",
            "init_file",
            "read_only",
            "log_raw",
        ]
        .map(|name| (config(json!({name: "x"})), "can't set what the operator sets")),
    );
    rows
}

fn refused_pods() -> Vec<(Value, &'static str)> {
    let pods = |field: &str, value: Value| json!({"podTemplate": {field: value}});
    vec![
        (
            pods("labels", json!({"app.kubernetes.io/name": "mine"})),
            "can't hold keys that begin with app.kubernetes.io/",
        ),
        (pods("labels", json!({"team": "not a label"})), "should match"),
        (pods("annotations", json!({"flaskblog.dev/x": "y"})), "they are the operator's"),
        (
            pods("tolerations", json!([{"operator": "Exists", "key": "a", "value": "b"}])),
            "with operator Exists has no value",
        ),
        (pods("tolerations", json!([{"operator": "Equal"}])), "without a key tolerates every taint"),
        (pods("tolerations", json!([{"key": "a", "effect": "Never"}])), "supported values: \"NoSchedule\""),
        (
            pods("affinity", json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {}}})),
            "nodeSelectorTerms: Required value",
        ),
    ]
}

#[tokio::test]
async fn every_illegal_value_is_refused_with_a_message_that_helps() {
    let house = House::open("refused").await;
    let rules = [
        refused(),
        refused_features(),
        refused_databases(),
        refused_pods(),
        refused_later(),
        refused_amounts_and_names(),
    ];
    for (spec, words) in rules.into_iter().flatten() {
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
        json!({"registration": "Closed", "markup": "Markdown", "suspend": true, "hibernate": true, "rolloutPolicy": "Manual"}),
        json!({"autoscaling": {"minReplicas": 3, "maxReplicas": 3, "targetCPUUtilizationPercentage": 50}}),
        json!({"ingress": {"host": "blog.example.org", "className": "traefik", "tlsSecretName": "t", "annotations": {"a.b/c": "d"}}}),
        json!({"networkPolicy": {"enabled": false}}),
        json!({"rotation": {"passwordDays": 1, "sessionKeyDays": 3650}}),
        json!({"rotation": {"passwordDays": null}}),
        json!({"rotation": null}),
        json!({"database": {"external": {"host": "10.0.0.1", "port": 3307, "database": "posts", "credentialsSecret": "blog-db", "tls": "VerifyCA"}}}),
        json!({"database": {"managed": {"config": {"max_connections": "200", "sql_mode": "", "innodb_flush_log_at_trx_commit": "1"}}}}),
        json!({"podTemplate": {"labels": {"team": "press", "empty": ""}, "annotations": {"a": "b"}, "nodeSelector": {"disk": "ssd"},
            "tolerations": [{"operator": "Exists"}, {"key": "a", "operator": "Equal", "value": "b", "effect": "NoExecute", "tolerationSeconds": 5}],
            "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "zone",
                "labelSelector": {"matchLabels": {"team": "press"}}}]}}}}),
        json!({"podTemplate": {"labels": {"example.org/Team_1.a": "Press"}, "annotations": {"Example.ORG/a": "x y", "x".repeat(63): ""},
            "nodeSelector": {"node-role.kubernetes.io/worker": ""},
            "tolerations": [{"key": "example.org/a", "value": "B_1", "effect": "NoExecute", "tolerationSeconds": 5}],
            "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [
                {"key": "example.org/size", "operator": "Gt", "values": ["4"]}, {"key": "disk", "operator": "In", "values": ["a", "b"]},
                {"key": "gpu", "operator": "DoesNotExist"}], "matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n"]}]}]},
                "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "preference": {}}]},
                "podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "podAffinityTerm":
                    {"topologyKey": "topology.kubernetes.io/zone", "namespaceSelector": {}}}]}}}}),
        json!({"ingress": {"host": "1.2.3.example", "className": "a.b-c", "tlsSecretName": "blog.tls",
            "annotations": {"nginx.ingress.kubernetes.io/rewrite-target": "/"}}}),
        json!({"monitoring": {"labels": {"example.org/release": "p"}}}),
        json!({"resources": {"requests": {"cpu": "1.5", "memory": "1Gi", "ephemeral-storage": "1Gi"},
            "limits": {"cpu": 2, "memory": "1024Mi", "ephemeral-storage": "2G"}}}),
        json!({"resources": {"requests": {"cpu": 4}, "limits": {"memory": "1Gi"}}}),
        json!({"database": {"managed": {"storage": {"storageClassName": "rook-ceph.block"}}}}),
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
async fn storage_never_shrinks_or_changes_its_class_and_the_message_says_so() {
    let house = House::open("immutable").await;
    let managed = |storage: Value| json!({"database": {"managed": {"storage": storage}}});
    house.apply("blog", managed(json!({"size": "2Gi", "storageClassName": "fast"}))).await.unwrap();
    for (spec, words) in [
        (
            managed(json!({"size": "1Gi", "storageClassName": "fast"})),
            "storage.size can grow but never shrink",
        ),
        (managed(json!({"size": "2Gi"})), "storageClassName can't change"),
        (managed(json!({"size": "2Gi", "storageClassName": "slow"})), "storageClassName can't change"),
        // An empty spec would mean the default size.
        (json!({}), "storage.size can grow but never shrink"),
    ] {
        let error = house.apply("blog", spec).await.unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    house.apply("blog", managed(json!({"size": "2048Mi", "storageClassName": "fast"}))).await.unwrap();
    house.apply("blog", managed(json!({"size": "3Gi", "storageClassName": "fast"}))).await.unwrap();
}

#[tokio::test]
async fn a_blog_never_moves_between_managed_and_external_by_an_edit() {
    let house = House::open("moves").await;
    let external = json!({"database": {"external": {"host": "db", "credentialsSecret": "s"}}});
    house.apply("managed", json!({})).await.unwrap();
    house.apply("external", external.clone()).await.unwrap();
    for (name, spec) in [("managed", external), ("external", json!({}))] {
        let error = house.apply(name, spec).await.unwrap_err().to_string();
        assert!(error.contains("move the posts with blog-app export and blog-app import"), "{error}");
    }
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
            // The reference of Kubernetes documents its own type.
            if path != ".status.conditions" && path != ".spec.podTemplate.affinity" {
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

/// The API server itself validates the templates' pods.
///
/// The namespace enforces Pod Security `restricted`.
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
        // The StatefulSet controller adds the PVC's volume and doesn't run here.
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
