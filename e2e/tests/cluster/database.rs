//! The database's settings, and a database on another server.

use e2e::{PortForward, condition, eventually, kubectl, kubectl_apply, kubectl_fed, wait_ready};
use serde_json::json;

use crate::{quickstart::Namespace, test_blog::TestBlog, user::User};

#[tokio::test]
async fn setting_reaches_mysql_and_a_refused_one_is_reported() {
    let blog = TestBlog::acquire();
    let author = User::registered(&blog.url).await;
    let title = format!("Settled by {}", author.name);
    author.write(&title).await;
    let config = |settings: serde_json::Value| {
        blog.patch_spec(&json!({"database": {"managed": {"config": settings}}}));
    };
    config(json!({"max_connections": "321"}));
    blog.wait_ready();
    assert_eq!(blog.mysql("SELECT @@max_connections;"), "321");
    assert!(author.index().await.contains(&title));
    config(json!({"no_such_setting": "1"}));
    let message = blog.eventually("MySQL's refusal is reported", || {
        let (status, reason, message) = blog.condition("Degraded")?;
        (status == "True" && reason == "PodFailing" && message.contains("no-such-setting")).then_some(message)
    });
    assert!(message.contains("blog-mysql-0") && message.contains("unknown variable"), "{message}");
    config(json!({"no_such_setting": null}));
    blog.wait_ready();
    assert_eq!(blog.mysql("SELECT @@max_connections;"), "321");
    assert!(author.index().await.contains(&title), "the post is gone");
    blog.restored();
}

const NAMESPACE: &str = "guests";

/// A database of its own at another blog's server, which goes with this value.
struct GuestDatabase<'a> {
    host: &'a TestBlog,
    password: &'static str,
}

impl<'a> GuestDatabase<'a> {
    fn new(host: &'a TestBlog, password: &'static str) -> Self {
        drop_guest_database(host);
        let _ = host.mysql(&format!(
            "CREATE DATABASE guests; CREATE USER guest@'%' IDENTIFIED BY '{password}'; GRANT ALL ON guests.* TO guest@'%';"
        ));
        Self { host, password }
    }

    /// The Secret that the blog is given, with the authority's certificate as the server shows it.
    fn give_secret(&self, password: Option<&str>) {
        let exec = ["exec", "blog-mysql-0", "-c", "mysql", "--", "cat", "/etc/mysql-tls/ca.crt"];
        let (password, ca) = (password.unwrap_or(self.password), self.host.kubectl(&exec));
        let content = json!({"username": "guest", "password": password, "ca.crt": ca});
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "server"}, "stringData": content});
        let result = kubectl_fed(&["apply", "-n", NAMESPACE, "-f", "-"], &secret.to_string());
        assert!(result.status.success(), "{}", String::from_utf8_lossy(&result.stderr));
    }
}

fn drop_guest_database(host: &TestBlog) {
    let _ = host.mysql("DROP DATABASE IF EXISTS guests; DROP USER IF EXISTS guest@'%';");
}

impl Drop for GuestDatabase<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            drop_guest_database(self.host);
        }
    }
}

/// A blog's server accepts connections of its own blog only. This policy adds a namespace.
const LET_IN: &str = "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: let-guests-in}, spec: {\
    podSelector: {matchLabels: {app.kubernetes.io/instance: blog, app.kubernetes.io/component: database}}, ingress: [{\
    from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: guests}}}]}]}}";

/// A blog with the database of another one, whose namespace replaces HOST.
const GUEST: &str = "{apiVersion: flaskblog.dev/v1alpha1, kind: FlaskBlog, metadata: {name: guest}, spec: {replicas: 1, \
    database: {external: {host: blog-mysql.HOST.svc, database: guests, credentialsSecret: server, tls: VerifyCA}}}}";

#[tokio::test]
async fn blog_on_another_server_reports_a_wrong_secret_until_fixed() {
    let host = TestBlog::acquire();
    let namespace = Namespace::new(NAMESPACE);
    let database = GuestDatabase::new(&host, "aPassPhraseOfGuests");
    assert!(kubectl_apply(&host.namespace, LET_IN).0);
    database.give_secret(Some("aWrongOne"));
    assert!(kubectl_apply(NAMESPACE, &GUEST.replace("HOST", &host.namespace)).0);
    let message = eventually("the refusal is reported", NAMESPACE, || {
        let (status, _, message) = condition(NAMESPACE, "guest", "Degraded")?;
        (status == "True" && message.contains("the server had refused the account")).then_some(message)
    });
    assert!(!message.contains("aWrongOne"), "{message}");
    let (status, reason, message) = condition(NAMESPACE, "guest", "DatabaseReady").unwrap();
    assert_eq!((status.as_str(), reason.as_str()), ("False", "DatabaseUnreachable"), "{message}");
    database.give_secret(None);
    wait_ready(NAMESPACE, "guest");
    assert_eq!(condition(NAMESPACE, "guest", "DatabaseReady").unwrap().0, "True");
    let forward = PortForward::start(NAMESPACE, "svc/guest");
    let author = User::at(&forward.url);
    author.register().await;
    author.write("On another server").await;
    assert!(author.index().await.contains("On another server"));
    let plain = "SELECT COUNT(*) FROM performance_schema.threads WHERE PROCESSLIST_USER = 'guest' AND CONNECTION_TYPE <> 'SSL/TLS';";
    assert_eq!(host.mysql(plain), "0", "a connection isn't protected");
    drop(forward);
    let _ = kubectl(&["delete", "fb", "guest", "-n", NAMESPACE]);
    let _ = host.kubectl(&["delete", "networkpolicy", "let-guests-in"]);
    drop((database, namespace));
}
