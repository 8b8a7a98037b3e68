//! A blog that one test has for itself. It is put back afterwards.

use std::{
    process::Output,
    sync::atomic::{AtomicU64, Ordering},
};

use e2e::{URL, answers, kubectl, kubectl_apply, kubectl_fed, kubectl_json, node_address, restarts, shell};
use serde_json::{Value, json};

use crate::{schedule::Slot, user::User};

/// The annotations by which a user requests something.
const REQUESTS: [&str; 4] = ["approve", "rotate-password", "rotate-root-password", "rotate-session-keys"];
/// The other blogs have the node ports after it. The cluster assigns none of this range by itself.
const NODE_PORTS: usize = 30040;
/// The blogs beside the sample blog that this run has prepared, a bit for each.
static PREPARED: AtomicU64 = AtomicU64::new(0);

/// The sample blog `default/blog`, or one like it in a namespace of its own.
///
/// It gets its spec back when this value goes, also when a test has failed.
pub struct TestBlog {
    pub namespace: String,
    /// The address of its node port.
    pub url: String,
    manifest: Value,
    spec: Value,
    is_restored: bool,
    _slot: Slot,
}

impl TestBlog {
    /// Any blog, when it is ready.
    pub fn acquire() -> Self {
        Self::ready(Slot::acquire_any_blog())
    }

    /// The sample blog: for `default`, `localhost` and the pinned node port, and for what a cluster can have only once.
    pub fn acquire_default() -> Self {
        Self::ready(Slot::acquire_sample_blog(None))
    }

    /// The sample blog, while no other test uses this name.
    pub fn acquire_default_with(name: &'static str) -> Self {
        Self::ready(Slot::acquire_sample_blog(Some(name)))
    }

    /// The sample blog, while no other test runs.
    pub fn acquire_alone() -> Self {
        Self::ready(Slot::acquire_alone())
    }

    fn ready(slot: Slot) -> Self {
        let mut manifest: Value = serde_yaml::from_str(include_str!("../../../blog.yaml")).unwrap();
        let number = slot.blog.expect("the slot has a blog");
        let (mut namespace, mut url) = ("default".to_owned(), URL.to_owned());
        if number > 0 {
            let port = NODE_PORTS + number;
            manifest["spec"]["service"]["nodePort"] = port.into();
            namespace = format!("blog-{number}");
            // Addresses of nodes change when all of them restart.
            url = format!("http://{}:{port}", node_address("flaskblog-control-plane"));
        }
        let spec = manifest["spec"].clone();
        let mut blog = Self { namespace, url, manifest, spec, is_restored: false, _slot: slot };
        if number > 0 && PREPARED.fetch_or(1 << number, Ordering::Relaxed) & (1 << number) == 0 {
            blog.prepare();
        }
        blog.wait_ready();
        let is_ending = |pod: &Value| !pod["metadata"]["deletionTimestamp"].is_null();
        blog.eventually("replicas of an earlier test have ended", || {
            (!blog.pods("app").iter().any(is_ending)).then_some(())
        });
        blog.spec = blog.read()["spec"].clone();
        blog
    }

    /// Creates namespace and blog. What an interrupted run has left is put back.
    fn prepare(&self) {
        let labels = json!({"pod-security.kubernetes.io/enforce": "restricted"});
        let metadata = json!({"name": self.namespace, "labels": labels});
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata});
        let (applied, text) = kubectl_apply("default", &namespace.to_string());
        assert!(applied, "{text}");
        self.restore();
    }

    fn restore(&self) {
        // No helper that panics: this also runs after a failure. It is applied first, since it may be gone.
        let patch = json!([{"op": "replace", "path": "/spec", "value": self.spec}]);
        let kubectl = format!("kubectl --context {} -n {}", e2e::CONTEXT, self.namespace);
        let requests = REQUESTS.map(|one| format!("flaskblog.dev/{one}-")).join(" ");
        let _ = shell(&format!(
            "printf %s '{}' | {kubectl} apply -f -; {kubectl} patch fb blog --type=json -p '{patch}'; \
             {kubectl} annotate fb blog {requests}",
            self.manifest
        ));
    }

    /// Puts it back and waits until it is ready so.
    pub fn restored(mut self) {
        self.put_back();
    }

    /// The same, and the test keeps it.
    pub fn put_back(&mut self) {
        self.restore();
        self.is_restored = true;
        self.wait_ready();
    }

    /// Waits until it is ready and answers at its node port. Whether requests fail meanwhile is what `Visitors` are for.
    pub fn wait_ready(&self) {
        e2e::wait_ready(&self.namespace, "blog");
        self.eventually("its node port leads there", || answers(&self.url).then_some(()));
    }

    /// Waits until `probe` returns something.
    pub fn eventually<T>(&self, what: &str, probe: impl FnMut() -> Option<T>) -> T {
        e2e::eventually(what, &self.namespace, probe)
    }

    /// Runs kubectl in its namespace.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        kubectl(&[&["-n", &self.namespace], arguments].concat())
    }

    /// The blog as it is now.
    pub fn read(&self) -> Value {
        self.object("fb", "blog").expect("the blog is there")
    }

    /// Applies the deleted blog again: the post exists, and its author is still logged in.
    pub async fn comes_back_as_it_was(&self, author: &User, title: &str) {
        let (applied, text) = kubectl_apply(&self.namespace, &self.manifest.to_string());
        assert!(applied, "{text}");
        self.wait_ready();
        let page = author.index().await;
        assert!(page.contains(title), "the post is gone");
        assert!(page.contains("Log Out"), "the author was logged out");
    }

    /// Changes fields as `kubectl patch` does; null removes one.
    pub fn patch_spec(&self, fields: &Value) {
        let patch = json!({"spec": fields}).to_string();
        let _ = self.kubectl(&["patch", "fb", "blog", "--type=merge", "-p", &patch]);
    }

    /// An object of its namespace, if it exists.
    pub fn object(&self, kind: &str, name: &str) -> Option<Value> {
        kubectl_json(&["get", kind, name, "-n", &self.namespace])
    }

    /// Status, reason and message of a condition.
    pub fn condition(&self, type_: &str) -> Option<(String, String, String)> {
        e2e::condition(&self.namespace, "blog", type_)
    }

    /// Waits until a condition has that status and reason; returns its message.
    pub fn until_condition(&self, type_: &str, status: &str, reason: &str) -> String {
        self.eventually(&format!("{type_} is {status}, {reason}"), || {
            let (found, why, message) = self.condition(type_)?;
            (found == status && why == reason).then_some(message)
        })
    }

    /// The app's pods that aren't being deleted.
    pub fn app_pods(&self) -> Vec<Value> {
        e2e::app_pods(&self.namespace, "blog")
    }

    /// All pods of a component (`app` or `database`), also those that are ending.
    pub fn pods(&self, component: &str) -> Vec<Value> {
        let selector = format!("app.kubernetes.io/instance=blog,app.kubernetes.io/component={component}");
        let list = kubectl_json(&["get", "pods", "-n", &self.namespace, "-l", &selector]).unwrap_or_default();
        list["items"].as_array().cloned().unwrap_or_default()
    }

    /// Which pods there are and how often their containers were started: equal if nothing was restarted.
    pub fn incarnations(&self) -> Vec<(String, Value, String)> {
        let all = [self.pods("app"), self.pods("database")].concat();
        assert!(all.len() >= 2, "the blog has no pods");
        all.iter().map(|pod| (name(pod), pod["metadata"]["uid"].clone(), restarts(pod))).collect()
    }

    /// Runs SQL in its MySQL as the administrator, whose password is read in the pod.
    pub fn mysql(&self, sql: &str) -> String {
        let password = "password=$(</etc/mysql-credentials/root-password)";
        let result = self.mysql_client(password, "user=root", sql);
        assert!(result.status.success(), "{sql}: {}", String::from_utf8_lossy(&result.stderr));
        String::from_utf8_lossy(&result.stdout).trim().to_owned()
    }

    /// What MySQL answers the blog's account with that password.
    pub fn mysql_as_the_blog(&self, password: &str) -> Output {
        self.mysql_client("read -r password", ACCOUNT, &format!("{password}\nSELECT 1;"))
    }

    /// What MySQL answers the blog's account over the network, with those settings.
    pub fn mysql_over_the_network(&self, settings: &str) -> Output {
        let account = format!(r"{ACCOUNT}\n{settings}");
        self.mysql_client("password=$(</etc/mysql-credentials/password)", &account, "SELECT 1;")
    }

    /// What MySQL answers its administrator with that password.
    pub fn mysql_as_root(&self, password: &str) -> Output {
        self.mysql_client("read -r password", "user=root", &format!("{password}\nSELECT 1;"))
    }

    /// The client in MySQL's pod. Its password is in a file that only it reads; `printf` is the shell's own.
    fn mysql_client(&self, password: &str, account: &str, input: &str) -> Output {
        let script = format!(
            "{password}; timeout 20 mysql --defaults-file=<(printf '[client]\\n{account}\\npassword=\"%s\"\\n' \"$password\") \
             --batch --skip-column-names"
        );
        let exec = ["-n", &self.namespace, "exec", "-i", "blog-mysql-0", "-c", "mysql", "--"];
        kubectl_fed(&[&exec[..], &["bash", "-c", &script]].concat(), input)
    }
}

impl Drop for TestBlog {
    fn drop(&mut self) {
        if !self.is_restored {
            self.restore();
        }
    }
}

/// The blog's account, over the network as the blog uses it.
const ACCOUNT: &str = r"user=flaskr\nprotocol=tcp\nhost=127.0.0.1";

pub fn name(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap().to_owned()
}
