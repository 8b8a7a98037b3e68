//! Blog and MySQL verify each other's certificate, also while the CA is replaced.

use serde_json::Value;

use crate::{
    test_blog::{TestBlog, name},
    user::{User, Visitors},
};

const SECRET: &str = "blog-mysql-tls";

fn annotation(blog: &TestBlog, key: &str) -> Option<String> {
    let secret = blog.object("secret", SECRET)?;
    secret["metadata"]["annotations"][format!("flaskblog.dev/{key}")].as_str().map(str::to_owned)
}

/// As if the time between two steps were over.
fn time_passes(blog: &TestBlog) {
    let long_ago = "flaskblog.dev/rotation-step-taken=2020-01-01T00:00:00Z";
    let _ = blog.kubectl(&["annotate", "secret", SECRET, "--overwrite", long_ago]);
}

fn step_reached(blog: &TestBlog, step: Option<&str>) {
    blog.eventually(&format!("the rotation is at {step:?}"), || {
        let fresh = annotation(blog, "rotation-step-taken").is_some_and(|at| !at.starts_with("2020"));
        (fresh && annotation(blog, "rotation-in-progress").as_deref() == step).then_some(())
    });
}

/// How often each replica has taken up a changed file since it started.
fn taken_up(blog: &TestBlog) -> Vec<usize> {
    let log = |pod: &Value| {
        let log = blog.kubectl(&["logs", &name(pod), "-c", "blog", "--tail=-1"]);
        log.matches("reloaded the database's login").count()
    };
    blog.pods("app").iter().map(log).collect()
}

/// The kubelet brings a changed Secret within about two minutes.
fn every_replica_took_up_more_than(blog: &TestBlog, before: &[usize]) {
    blog.eventually("every replica has the authority's new file", || {
        taken_up(blog).iter().zip(before).all(|(now, before)| now > before).then_some(())
    });
}

/// When the certificate that MySQL shows begins, which differs for each.
fn shown(blog: &TestBlog) -> String {
    blog.mysql("SHOW STATUS LIKE 'Ssl_server_not_before'")
}

#[tokio::test]
async fn new_authority_fails_no_request_and_restarts_nothing() {
    let blog = TestBlog::acquire();
    let plain = blog.mysql_over_the_network(r"ssl-mode=DISABLED\n");
    let refusal = String::from_utf8_lossy(&plain.stderr).into_owned();
    assert!(refusal.contains("insecure transport"), "MySQL takes plain connections: {refusal}");
    let plain = "SELECT COUNT(*) FROM performance_schema.threads WHERE connection_type = 'TCP/IP'";
    assert_eq!(blog.mysql(plain), "0");
    let visitors = [
        Visitors::readers(3, &blog.url),
        Visitors::member(User::registered(&blog.url).await),
        Visitors::writer(User::registered(&blog.url).await),
    ];
    let (pods_before, shown_before, taken_before) = (blog.incarnations(), shown(&blog), taken_up(&blog));
    let word = format!("flaskblog.dev/rotate-certificates={}", e2e::browser::unique("e2e"));
    let _ = blog.kubectl(&["annotate", "fb", "blog", "--overwrite", &word]);
    step_reached(&blog, Some("introduced"));
    every_replica_took_up_more_than(&blog, &taken_before);
    assert_eq!(shown(&blog), shown_before, "MySQL shows the new authority's certificate too early");
    time_passes(&blog);
    step_reached(&blog, Some("signed"));
    blog.eventually("MySQL shows the new certificate", || (shown(&blog) != shown_before).then_some(()));
    let taken_before = taken_up(&blog);
    time_passes(&blog);
    step_reached(&blog, None);
    every_replica_took_up_more_than(&blog, &taken_before);
    assert_eq!(blog.incarnations(), pods_before, "something was restarted");
    // A replica that starts now trusts only the new CA.
    let newcomer = name(&blog.pods("app")[0]);
    let _ = blog.kubectl(&["delete", "pod", &newcomer, "--wait=false"]);
    blog.wait_ready();
    for visits in visitors.map(Visitors::noticed_nothing) {
        assert!(visits > 50, "only {visits} visits");
    }
    blog.restored();
}
