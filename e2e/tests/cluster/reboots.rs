//! A node is lost, and all nodes restart.

use std::time::Duration;

use e2e::{done, kubectl_json, shell};
use serde_json::Value;

use crate::{
    day_two::{nodes_of, on, spread},
    test_blog::TestBlog,
    user::User,
};

/// A worker whose every process stands still, as when its power or its network is gone: nothing refuses, nothing answers.
struct Lost(String);

impl Lost {
    fn node(name: &str) -> Self {
        docker(&format!("pause {name}"));
        Self(name.to_owned())
    }
}

impl Drop for Lost {
    fn drop(&mut self) {
        let _ = shell(&format!("docker unpause {}", self.0));
    }
}

fn docker(arguments: &str) {
    done(&format!("docker {arguments}"));
}

fn is_ready(object: &Value) -> bool {
    let conditions = object["status"]["conditions"].as_array();
    conditions.is_some_and(|all| all.iter().any(|one| one["type"] == "Ready" && one["status"] == "True"))
}

fn node_is_ready(name: &str) -> bool {
    kubectl_json(&["get", "node", name]).is_some_and(|node| is_ready(&node))
}

/// The operator has one pod; on the lost node it would be missed for the five minutes that Kubernetes gives such a pod.
fn operator_runs_elsewhere(node: &str) {
    let kubectl = "kubectl --context kind-flaskblog";
    done(&format!(
        "set -e; {kubectl} cordon {node}; trap '{kubectl} uncordon {node}' EXIT
         {kubectl} delete pod -n flaskblog-system --field-selector spec.nodeName={node}
         {kubectl} rollout status deployment/operator -n flaskblog-system --timeout=120s"
    ));
}

#[test]
fn lost_worker_leaves_the_blog_to_its_other_replica() {
    let blog = TestBlog::acquire_alone();
    spread(&blog);
    let author = on(User::registered(&blog.url));
    let database = nodes_of(&blog.pods("database")).remove(0);
    let node = nodes_of(&blog.app_pods()).into_iter().find(|node| *node != database).unwrap();
    operator_runs_elsewhere(&node);
    blog.eventually("pods of an earlier test have ended", || (blog.pods("app").len() == 2).then_some(()));
    let before = blog.incarnations();
    let lost = Lost::node(&node);
    // The node controller gives a silent node 50 s; until then every other connection leads there and hangs.
    blog.eventually("the lost replica is no longer counted", || {
        (blog.read()["status"]["readyReplicas"] == 1).then_some(())
    });
    assert!(!node_is_ready(&node));
    // A moment for every proxy to receive it.
    std::thread::sleep(Duration::from_secs(3));
    for number in 0..10 {
        on(author.write(&format!("Meanwhile {number} of {}", author.name)));
    }
    assert!(on(author.index()).contains(&format!("Meanwhile 9 of {}", author.name)));
    let (status, _, message) = blog.condition("Ready").unwrap();
    assert!(status == "False" && message.contains("1 of 2"), "{status}: {message}");
    drop(lost);
    blog.eventually("the worker is back", || node_is_ready(&node).then_some(()));
    blog.wait_ready();
    assert_eq!(blog.incarnations(), before, "a pod was recreated though none had ended");
    spread(&blog);
    assert!(on(author.index()).contains("Log Out"));
}

#[test]
fn blog_after_a_reboot_of_all_nodes_has_its_data() {
    let blog = TestBlog::acquire_alone();
    let author = on(User::registered(&blog.url));
    let title = format!("Before the reboot of {}", author.name);
    on(author.write(&title));
    let before = blog.incarnations();
    docker("restart flaskblog-control-plane flaskblog-worker flaskblog-worker2");
    // The API server answers at another port of this machine now.
    blog.eventually("the API server is back", || {
        let exported = shell("kind export kubeconfig --name flaskblog");
        let nodes = kubectl_json(&["get", "nodes"])?;
        let all_ready = nodes["items"].as_array()?.iter().all(is_ready);
        (exported.status.success() && all_ready).then_some(())
    });
    // Until the kubelets report, the API server has the pods as they were.
    blog.eventually("every pod has restarted", || {
        let now = [blog.pods("app"), blog.pods("database")].concat();
        let all_new =
            now.len() == before.len() && blog.incarnations().iter().all(|one| !before.contains(one));
        (all_new && now.iter().all(is_ready)).then_some(())
    });
    blog.wait_ready();
    let page = on(author.index());
    assert!(page.contains(&title), "the post is gone");
    assert!(page.contains("Log Out"), "the author was logged out");
    on(author.write(&format!("After the reboot of {}", author.name)));
    done(
        "kubectl --context kind-flaskblog wait --for=condition=Available deployment --all -A --timeout=240s",
    );
    done(
        "kubectl --context kind-flaskblog rollout status statefulset/prometheus-tests -n monitoring --timeout=240s",
    );
    // The API server keeps what it connected to first, and it is up before the Services' addresses lead anywhere.
    blog.eventually("the metrics server is reached", || {
        shell("kubectl --context kind-flaskblog top nodes").status.success().then_some(())
    });
}
