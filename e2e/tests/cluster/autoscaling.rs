//! As many replicas as the load needs, by the cluster's own autoscaler and a real metrics server.

use serde_json::json;

use crate::{test_blog::TestBlog, user::Visitors};

fn wanted_replicas(blog: &TestBlog) -> u64 {
    blog.object("deployment", "blog").unwrap()["spec"]["replicas"].as_u64().unwrap()
}

#[test]
fn load_adds_replicas_until_the_field_is_removed() {
    // Alone, as the autoscaler counts CPU.
    let blog = TestBlog::acquire_alone();
    let figures = blog.kubectl(&["top", "pods", "--no-headers"]);
    assert!(figures.contains("blog-mysql-0"), "no metrics server: run dev/metrics-server.sh: {figures}");
    blog.patch_spec(&json!({"replicas": 1}));
    blog.eventually("one replica is left", || (blog.pods("app").len() == 1).then_some(()));
    let readers = Visitors::readers(4, &blog.url);
    let target = json!({"minReplicas": 1, "maxReplicas": 3, "targetCPUUtilizationPercentage": 20});
    blog.patch_spec(&json!({"autoscaling": target}));
    blog.eventually("more replicas serve", || {
        (blog.read()["status"]["readyReplicas"].as_u64() > Some(1)).then_some(())
    });
    assert!(readers.noticed_nothing() > 100);
    assert!(wanted_replicas(&blog) > 1);
    assert_eq!(blog.read()["spec"]["replicas"], 1, "the autoscaler doesn't write to the spec");
    blog.patch_spec(&json!({"autoscaling": null}));
    blog.eventually("the spec's number counts again", || (wanted_replicas(&blog) == 1).then_some(()));
    assert!(blog.object("horizontalpodautoscaler", "blog").is_none());
    blog.wait_ready();
    blog.restored();
}
