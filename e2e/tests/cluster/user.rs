//! Users of a blog over plain HTTP, and readers that request it all the time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use reqwest::{Client, ClientBuilder, Response, StatusCode, redirect::Policy};

pub struct User {
    client: Client,
    base: String,
    pub name: String,
}

static NUMBER: AtomicU64 = AtomicU64::new(0);

/// A client with a new connection for each request.
///
/// Tests end the pods that a kept connection leads to, and a server that shuts down must not refuse new ones.
pub fn client() -> ClientBuilder {
    // It fails when another test has installed it, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().pool_max_idle_per_host(0).timeout(Duration::from_secs(10))
}

impl User {
    /// A new user, registered and logged in at the blog of that address.
    pub async fn registered(base: &str) -> Self {
        let user = Self::at(base);
        user.register().await;
        user
    }

    /// Registers and logs in.
    pub async fn register(&self) {
        self.form("/auth/register", &[("username", &self.name), ("password", "a pass phrase")]).await;
        self.log_in().await;
    }

    pub fn at(base: &str) -> Self {
        Self::with_client(client(), base)
    }

    /// A user with another client, which resolves other names or trusts other certificates.
    pub fn with_client(client: ClientBuilder, base: &str) -> Self {
        let since_epoch =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
        let name = format!("user-{since_epoch}-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let client = client.cookie_store(true).redirect(Policy::none()).build().unwrap();
        Self { client, base: base.into(), name }
    }

    pub async fn log_in(&self) {
        self.try_log_in().await.unwrap();
    }

    /// Logs in; an error is the answer of the blog.
    pub async fn try_log_in(&self) -> Result<(), String> {
        let fields = [("username", self.name.as_str()), ("password", "a pass phrase")];
        let answer = self.try_form("/auth/login", &fields).await?;
        let is_in = answer.status().is_redirection();
        if is_in { Ok(()) } else { Err(format!("{} can't log in: {answer:?}", self.name)) }
    }

    pub async fn form(&self, path: &str, fields: &[(&str, &str)]) -> Response {
        self.try_form(path, fields).await.unwrap()
    }

    /// The answer to a form; an error is one of the connection.
    pub async fn try_form(&self, path: &str, fields: &[(&str, &str)]) -> Result<Response, String> {
        let request = self.client.post(format!("{}{path}", self.base)).form(fields);
        request.send().await.map_err(|error| format!("{error:?}"))
    }

    /// The text of a page that exists.
    pub async fn try_page(&self, path: &str) -> Result<String, String> {
        let answer = self.client.get(format!("{}{path}", self.base)).send().await;
        let answer = answer.and_then(Response::error_for_status).map_err(|error| format!("{error:?}"))?;
        answer.text().await.map_err(|error| format!("{error:?}"))
    }

    pub async fn write(&self, title: &str) {
        let answer = self.form("/create", &[("title", title), ("body", "text")]).await;
        assert!(answer.status().is_redirection(), "{title} wasn't taken: {answer:?}");
    }

    pub async fn index(&self) -> String {
        self.index_at(&self.base).await
    }

    /// The index of another address, with the cookies of this user. A cookie of `localhost` goes to every port of it.
    pub async fn index_at(&self, base: &str) -> String {
        let answer = self.client.get(format!("{base}/")).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        answer.text().await.unwrap()
    }

    /// One plain GET: its status and Retry-After, or nothing when no answer came.
    pub async fn get_index(&self) -> Option<(StatusCode, Option<String>)> {
        let answer = self.client.get(format!("{}/", self.base)).send().await.ok()?;
        let retry = answer.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
        Some((answer.status(), retry))
    }
}

/// What sends one request after another.
enum Visitor {
    /// A new reader every time, at that address.
    Reader(Client, String),
    /// A user that is logged in and has to stay so.
    Member(User),
    /// A user that publishes a post every time.
    Writer(User),
}

impl Visitor {
    /// One visit, or what went wrong.
    async fn visit(&self, number: u64) -> Result<(), String> {
        let answer = match self {
            Self::Reader(client, url) => client.get(url).send(),
            Self::Member(user) => user.client.get(&user.base).send(),
            Self::Writer(user) => {
                let title = format!("{} of {}", number, user.name);
                let post = user.client.post(format!("{}/create", user.base));
                post.form(&[("title", title.as_str()), ("body", "text")]).send()
            }
        };
        let answer = answer.await.map_err(|error| format!("{error:?}"))?;
        let status = answer.status();
        let page = answer.text().await.map_err(|error| format!("{error:?}"))?;
        match self {
            Self::Reader(..) if status == StatusCode::OK => Ok(()),
            Self::Member(_) if status == StatusCode::OK && page.contains("Log Out") => Ok(()),
            Self::Member(_) if status == StatusCode::OK => Err("logged out".into()),
            Self::Writer(_) if status.is_redirection() => Ok(()),
            _ => Err(status.to_string()),
        }
    }

    fn pause(&self) -> Duration {
        Duration::from_millis(if matches!(self, Self::Writer(_)) { 200 } else { 20 })
    }
}

/// Visitors that send requests until the test is done, though never for more than ten minutes.
///
/// On a thread of their own: the test's thread blocks while it waits for the cluster.
pub struct Visitors {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<(u64, Vec<String>)>>,
}

impl Visitors {
    /// Readers of the index at that address.
    pub fn readers(count: usize, url: &str) -> Self {
        Self::readers_with_client(count, url, client)
    }

    /// Readers of a page with another client.
    pub fn readers_with_client(count: usize, url: &str, client: impl Fn() -> ClientBuilder) -> Self {
        let reader = |_| Visitor::Reader(client().build().unwrap(), url.into());
        Self::start((0..count).map(reader).collect())
    }

    /// A user that reads its blog, and has to be logged in at every visit.
    pub fn member(user: User) -> Self {
        Self::start(vec![Visitor::Member(user)])
    }

    /// A user that writes a post at every visit.
    pub fn writer(user: User) -> Self {
        Self::start(vec![Visitor::Writer(user)])
    }

    fn start(visitors: Vec<Visitor>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(all_until(&stopped, visitors))
        });
        Self { stop, thread: Some(thread) }
    }

    /// Ends them, and returns how many requests there were. None may have failed.
    pub fn noticed_nothing(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let (visits, problems) = self.thread.take().unwrap().join().unwrap();
        let first = problems.iter().take(20).cloned().collect::<Vec<_>>().join("\n");
        assert!(problems.is_empty(), "{} visits failed beside {visits} good ones:\n{first}", problems.len());
        visits
    }
}

impl Drop for Visitors {
    fn drop(&mut self) {
        // After a failure, too: another test has the blog next.
        self.stop.store(true, Ordering::Relaxed);
    }
}

async fn all_until(stop: &Arc<AtomicBool>, visitors: Vec<Visitor>) -> (u64, Vec<String>) {
    let tasks: Vec<_> =
        visitors.into_iter().map(|visitor| tokio::spawn(visit_until(Arc::clone(stop), visitor))).collect();
    let mut all = (0, Vec::new());
    for task in tasks {
        let (visits, problems) = task.await.unwrap();
        all.0 += visits;
        all.1.extend(problems);
    }
    all
}

async fn visit_until(stop: Arc<AtomicBool>, visitor: Visitor) -> (u64, Vec<String>) {
    let end = tokio::time::Instant::now() + Duration::from_secs(600);
    let (mut visits, mut problems) = (0, Vec::new());
    while !stop.load(Ordering::Relaxed) && tokio::time::Instant::now() < end {
        match visitor.visit(visits).await {
            Ok(()) => visits += 1,
            Err(what) => problems.push(format!("{}: {what}", jiff::Timestamp::now())),
        }
        tokio::time::sleep(visitor.pause()).await;
    }
    (visits, problems)
}
