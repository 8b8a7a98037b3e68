//! The sample blog, changed for a test and put back afterwards.

use std::process::Output;

use e2e::{condition, done, eventually, kubectl, kubectl_fed, kubectl_json, restarts, shell, wait_ready};
use serde_json::{Value, json};

use crate::person::Person;

/// What a person writes on a FlaskBlog to ask for something.
const REQUESTS: [&str; 4] = ["approve", "rotate-password", "rotate-root-password", "rotate-session-keys"];

/// Gives the sample blog its spec back when it goes, also when a test has failed.
pub struct Sample(Value);

impl Sample {
    /// The sample blog when it is ready.
    pub fn ready() -> Self {
        wait_ready("default", "blog");
        Self(blog()["spec"].clone())
    }

    /// Puts it back and waits until it serves so.
    pub fn restored(self) {
        drop(self);
        wait_ready("default", "blog");
    }
}

impl Drop for Sample {
    fn drop(&mut self) {
        // No helper that panics: this also runs while a test's failure is being told. Applied first, since it may be gone.
        let patch = json!([{"op": "replace", "path": "/spec", "value": self.0}]);
        let kubectl = "kubectl --context kind-flaskblog";
        let requests = REQUESTS.map(|one| format!("flaskblog.dev/{one}-")).join(" ");
        let _ = shell(&format!(
            "{kubectl} apply -f blog.yaml; {kubectl} patch fb blog -n default --type=json -p '{patch}'; \
             {kubectl} annotate fb blog -n default {requests}"
        ));
    }
}

/// The sample blog as it is now.
pub fn blog() -> Value {
    kubectl_json(&["get", "fb", "blog", "-n", "default"]).expect("the sample blog is there")
}

/// Applies the deleted sample blog again: the post is there, and its author still logged in.
pub async fn comes_back_as_it_was(author: &Person, title: &str) {
    done("kubectl --context kind-flaskblog apply -n default -f blog.yaml");
    wait_ready("default", "blog");
    let page = author.index().await;
    assert!(page.contains(title), "the post is gone");
    assert!(page.contains("Log Out"), "the author was logged out");
}

/// Changes fields of the sample blog as `kubectl patch` does; null removes one.
pub fn patch_spec(fields: &Value) {
    let patch = json!({"spec": fields}).to_string();
    let _ = kubectl(&["patch", "fb", "blog", "-n", "default", "--type=merge", "-p", &patch]);
}

/// An object of `default`, if it is there.
pub fn object(kind: &str, name: &str) -> Option<Value> {
    kubectl_json(&["get", kind, name, "-n", "default"])
}

/// Waits until a condition of the sample blog has that status and reason; gives its message.
pub fn until_condition(type_: &str, status: &str, reason: &str) -> String {
    eventually(&format!("{type_} is {status}, {reason}"), "default", || {
        let (is, why, message) = condition("default", "blog", type_)?;
        (is == status && why == reason).then_some(message)
    })
}

/// All pods of one of the sample blog's components (`app` or `database`), also those that are ending.
pub fn pods(component: &str) -> Vec<Value> {
    let selector = format!("app.kubernetes.io/instance=blog,app.kubernetes.io/component={component}");
    let list = kubectl_json(&["get", "pods", "-n", "default", "-l", &selector]).unwrap_or_default();
    list["items"].as_array().cloned().unwrap_or_default()
}

pub fn name(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap().to_owned()
}

/// Which pods there are and how often their containers were started: equal if nothing was restarted.
pub fn incarnations() -> Vec<(String, Value, String)> {
    let all = [pods("app"), pods("database")].concat();
    assert!(all.len() >= 2, "the sample blog has no pods");
    all.iter().map(|pod| (name(pod), pod["metadata"]["uid"].clone(), restarts(pod))).collect()
}

/// Runs SQL in the sample blog's MySQL as its administrator, whose password is read where it lies.
pub fn mysql(sql: &str) -> String {
    let result = mysql_client("password=$(</etc/mysql-credentials/root-password)", "user=root", sql);
    assert!(result.status.success(), "{sql}: {}", String::from_utf8_lossy(&result.stderr));
    String::from_utf8_lossy(&result.stdout).trim().to_owned()
}

/// The blog's account, by the network as the blog comes.
const THE_BLOG: &str = r"user=flaskr\nprotocol=tcp\nhost=127.0.0.1";

/// What MySQL says to the blog's account with that password.
pub fn mysql_as_the_blog(password: &str) -> Output {
    mysql_client("read -r password", THE_BLOG, &format!("{password}\nSELECT 1;"))
}

/// What MySQL says to the blog's account on a connection by the network, with those settings.
pub fn mysql_over_the_network(settings: &str) -> Output {
    let account = format!(r"{THE_BLOG}\n{settings}");
    mysql_client("password=$(</etc/mysql-credentials/password)", &account, "SELECT 1;")
}

/// What MySQL says to its administrator with that password.
pub fn mysql_as_root(password: &str) -> Output {
    mysql_client("read -r password", "user=root", &format!("{password}\nSELECT 1;"))
}

/// The client in MySQL's pod. The password goes by a file that is there for the client only; `printf` is the shell's own.
fn mysql_client(password: &str, account: &str, input: &str) -> Output {
    let script = format!(
        "{password}; timeout 20 mysql --defaults-file=<(printf '[client]\\n{account}\\npassword=\"%s\"\\n' \"$password\") \
         --batch --skip-column-names"
    );
    kubectl_fed(
        &["exec", "-i", "blog-mysql-0", "-n", "default", "-c", "mysql", "--", "bash", "-c", &script],
        input,
    )
}
