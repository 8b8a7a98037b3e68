//! The flask-blog chart with both Helms, in a namespace that enforces Pod Security `restricted`.

use e2e::{helm, kubectl, kubectl_json, shell, wait_ready};

use crate::{quickstart::Namespace, schedule::Slot};

fn installs_and_leaves(program: &str, namespace: &'static str) {
    let guard = Namespace::new(namespace);
    let chart = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/flask-blog");
    let text = helm(
        program,
        &[
            "install",
            chart,
            "--generate-name",
            "--atomic",
            "--wait",
            "--timeout",
            "5m",
            "--dependency-update",
            "-n",
            namespace,
            "--set",
            "replicas=1,title=From a chart",
        ],
    );
    let blog = kubectl_json(&["get", "fb", "-n", namespace]).unwrap()["items"][0].clone();
    let name = blog["metadata"]["name"].as_str().unwrap();
    assert!(name.starts_with("flask-blog-"), "{name}");
    wait_ready(namespace, name);
    assert_eq!(blog["spec"]["title"], "From a chart");
    let release = blog["metadata"]["annotations"]["meta.helm.sh/release-name"].as_str().unwrap();
    let notes = helm(program, &["get", "notes", release, "-n", namespace]);
    for words in [
        format!("port-forward svc/{name} 5000:5000"),
        format!("get secret {name}-mysql"),
        format!("logs --selector app.kubernetes.io/instance={name}"),
        "port-forward service/logging-kibana 5601:5601".to_owned(),
        format!("flaskblog: {name} and kubernetes.namespace_name: {namespace}"),
        "status.nodePort".to_owned(),
        "30423".to_owned(),
    ] {
        assert!(notes.contains(&words) && text.contains(&words), "{words} is missing in the notes: {notes}");
    }
    let _ = helm(program, &["uninstall", release, "-n", namespace, "--wait"]);
    let kept = kubectl(&["get", "pvc,secret", "-n", namespace, "-o", "name"]);
    for object in [format!("persistentvolumeclaim/data-{name}-mysql-0"), format!("secret/{name}-mysql")] {
        assert!(kept.contains(&object), "{object} wasn't kept: {kept}");
    }
    drop(guard);
}

/// A second operator for one namespace only, beside the cluster-wide one, whose CRD it uses.
#[test]
fn helm_4_operator_for_one_namespace_has_rights_only_there() {
    let _slot = Slot::acquire();
    let namespace = "one-team";
    let guard = Namespace::new(namespace);
    let chart = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/operator");
    let values = format!("watchNamespaces={{{namespace}}},crds.enabled=false");
    let _ = helm(
        "helm4",
        &[
            "install",
            "team",
            chart,
            "-n",
            namespace,
            "--atomic",
            "--wait",
            "--timeout",
            "3m",
            "--set",
            &values,
        ],
    );
    let text = helm("helm4", &["test", "team", "-n", namespace]);
    assert!(text.contains("Succeeded"), "{text}");
    let may = |verb: &str, where_: &[&str]| {
        let user = format!("--as=system:serviceaccount:{namespace}:team-operator");
        shell(&format!(
            "kubectl --context kind-flaskblog auth can-i {verb} secrets {user} {}",
            where_.join(" ")
        ))
    };
    assert!(may("create", &["-n", namespace]).status.success());
    assert!(!may("create", &["-n", "default"]).status.success());
    let _ = helm("helm4", &["uninstall", "team", "-n", namespace, "--wait"]);
    assert!(kubectl(&["get", "crd", "flaskblogs.flaskblog.dev", "-o", "name"]).contains("flaskblogs"));
    drop(guard);
}

#[test]
fn helm_3_installs_a_blog_and_uninstalling_keeps_its_data() {
    let _slot = Slot::acquire();
    installs_and_leaves("helm", "helm-three");
}

#[test]
fn helm_4_installs_a_blog_and_uninstalling_keeps_its_data() {
    let _slot = Slot::acquire();
    installs_and_leaves("helm4", "helm-four");
}
