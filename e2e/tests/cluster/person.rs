//! A reader or author who uses the blog over plain HTTP.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use e2e::URL;
use reqwest::{Client, Response, StatusCode, redirect::Policy};
use tokio::task::JoinHandle;

pub struct Person {
    client: Client,
    base: String,
    pub name: String,
}

static NUMBER: AtomicU64 = AtomicU64::new(0);

impl Person {
    /// Somebody new, registered and logged in at the sample blog.
    pub async fn registered() -> Self {
        let person = Self::at(URL);
        person.form("/auth/register", &[("username", &person.name), ("password", "a pass phrase")]).await;
        person.log_in().await;
        person
    }

    pub fn at(base: &str) -> Self {
        let since_epoch =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
        let name = format!("person-{since_epoch}-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let client = Client::builder()
            .cookie_store(true)
            // Tests kill what a kept connection leads to.
            .pool_max_idle_per_host(0)
            .redirect(Policy::none())
            .timeout(Duration::from_secs(10))
            .build()
            .unwrap();
        Self { client, base: base.into(), name }
    }

    pub async fn log_in(&self) {
        let answer =
            self.form("/auth/login", &[("username", &self.name), ("password", "a pass phrase")]).await;
        assert!(answer.status().is_redirection(), "{} can't log in: {answer:?}", self.name);
    }

    pub async fn form(&self, path: &str, fields: &[(&str, &str)]) -> Response {
        self.client.post(format!("{}{path}", self.base)).form(fields).send().await.unwrap()
    }

    pub async fn write(&self, title: &str) {
        let answer = self.form("/create", &[("title", title), ("body", "text")]).await;
        assert!(answer.status().is_redirection(), "{title} wasn't taken: {answer:?}");
    }

    pub async fn index(&self) -> String {
        self.index_at(&self.base).await
    }

    /// The index of another address, with the cookies of this person. Cookies know no ports, so one of `localhost`
    /// goes to every port of it.
    pub async fn index_at(&self, base: &str) -> String {
        let answer = self.client.get(format!("{base}/")).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        answer.text().await.unwrap()
    }

    /// One plain GET: its status and Retry-After, or nothing when no answer came.
    pub async fn look(&self) -> Option<(StatusCode, Option<String>)> {
        let answer = self.client.get(format!("{}/", self.base)).send().await.ok()?;
        let retry = answer.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
        Some((answer.status(), retry))
    }
}

/// Readers who look at the index without pause, until they are asked what they saw.
pub struct Readers {
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<(u64, Vec<String>)>>,
}

impl Readers {
    pub fn start(count: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let tasks = (0..count).map(|_| tokio::spawn(read_until(Arc::clone(&stop)))).collect();
        Self { stop, tasks }
    }

    /// How many pages were read, and what went wrong.
    pub async fn finish(self) -> (u64, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = (0, Vec::new());
        for task in self.tasks {
            let (pages, problems) = task.await.unwrap();
            all.0 += pages;
            all.1.extend(problems);
        }
        all
    }
}

async fn read_until(stop: Arc<AtomicBool>) -> (u64, Vec<String>) {
    // A connection per request: that is how new readers come, and what a closing server must not refuse.
    let client =
        Client::builder().pool_max_idle_per_host(0).timeout(Duration::from_secs(10)).build().unwrap();
    let (mut pages, mut problems) = (0, Vec::new());
    let mut trouble = |what: String| problems.push(format!("{}: {what}", jiff::Timestamp::now()));
    while !stop.load(Ordering::Relaxed) {
        match client.get(URL).send().await {
            Ok(answer) if answer.status() == StatusCode::OK => pages += 1,
            Ok(answer) => trouble(answer.status().to_string()),
            Err(error) => trouble(format!("{error:?}")),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    (pages, problems)
}
