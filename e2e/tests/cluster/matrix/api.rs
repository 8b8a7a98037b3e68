//! The API server through one `kubectl proxy`: the matrix sends too many requests for a process each.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::OnceLock,
};

use e2e::CONTEXT;
use reqwest::{Client, Method, header::CONTENT_TYPE};
use serde_json::Value;

use crate::user::client;

static ADDRESS: OnceLock<String> = OnceLock::new();

/// The proxy, which ends with this.
pub struct Proxy(Child);

impl Proxy {
    pub fn started() -> Self {
        let mut child = Command::new("kubectl")
            .args(["--context", CONTEXT, "proxy", "--port=0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("kubectl proxy starts");
        let mut line = String::new();
        let _ = BufReader::new(child.stdout.take().unwrap()).read_line(&mut line);
        let (_, address) = line.trim().rsplit_once(' ').expect("kubectl proxy prints its address");
        ADDRESS.set(format!("http://{address}")).expect("there is one proxy");
        Self(child)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Sends a request and returns the answered object; an error is what the API server answers.
pub fn send(method: Method, path: &str, content_type: &str, body: &Value) -> Result<Value, String> {
    static CLIENT: OnceLock<Client> = OnceLock::new();
    let client = CLIENT.get_or_init(|| client().build().unwrap());
    let request = client.request(method, format!("{}{path}", ADDRESS.wait()));
    let request = if body.is_null() {
        request
    } else {
        request.header(CONTENT_TYPE, content_type).body(body.to_string())
    };
    crate::day_two::on(async {
        let answer = request.send().await.map_err(|error| format!("{error:?}"))?;
        let is_success = answer.status().is_success();
        let text = answer.text().await.map_err(|error| format!("{error:?}"))?;
        if is_success { Ok(serde_json::from_str(&text).unwrap_or_default()) } else { Err(text) }
    })
}

/// The object at a path, if it exists.
pub fn read(path: &str) -> Option<Value> {
    send(Method::GET, path, "", &Value::Null).ok()
}

/// Changes fields of an object by a merge patch.
pub fn merge(path: &str, patch: &Value) -> Result<Value, String> {
    send(Method::PATCH, path, "application/merge-patch+json", patch)
}
