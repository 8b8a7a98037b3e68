//! A blog with two users and a post, as in Flaskr's own tests, and a browser that keeps its cookie.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::response::Parts;
use axum::http::{HeaderMap, Request, StatusCode, header};
use blog_app::cache::page_cache::PageCache;
use blog_app::db::Database;
use blog_app::html::blocking::BlockingPool;
use blog_app::html::bodies::MarkdownCache;
use blog_app::html::layout::Site;
use blog_app::router::router;
use blog_app::security::body_places::Places;
use blog_app::security::device_cookie::DEVICE_COOKIE;
use blog_app::security::name_index::NameIndex;
use blog_app::security::password::Passwords;
use blog_app::security::rate_limit::{LoginLimiter, RegistrationLimiter};
use blog_app::security::session::{Key, Keys, Sessions};
use blog_app::security::trusted_proxies::TrustedProxies;
use blog_app::state::AppState;
use blog_app::store::migrate::migrate;
use blog_app::telemetry::metrics::Metrics;
use blog_app::telemetry::traces::Traces;
use http_body_util::BodyExt;
use sqlx::{AssertSqlSafe, Executor};
use tower::ServiceExt;

use crate::backend::TestDatabase;

/// One process of the blog, and the database that it shares with others.
pub struct Blog {
    pub app: Arc<AppState>,
    pub database: Arc<TestDatabase>,
}

impl Blog {
    /// An empty blog.
    pub async fn new() -> Self {
        let database = Arc::new(TestDatabase::create().await);
        let connected = database.connect();
        migrate(&connected, &mut |_| std::ops::ControlFlow::Continue(())).await.unwrap();
        Self { app: app(connected, keys("key", None), TrustedProxies::none()), database }
    }

    /// Changes its settings.
    pub fn configured(mut self, edit: impl FnOnce(&mut AppState)) -> Self {
        edit(Arc::get_mut(&mut self.app).expect("not shared yet"));
        self
    }

    /// With users `test` and `other`, whose passwords are their names, and a post of `test`.
    pub async fn with_post() -> Self {
        let blog = Self::new().await;
        blog.register("test").await;
        blog.register("other").await;
        blog.execute(
            "INSERT INTO post (title, body, author_id, created) \
             VALUES ('test title', 'test\nbody', 1, '2018-01-01 00:00:00')",
        )
        .await;
        blog
    }

    /// A process on a database that has its schema.
    pub fn on(database: Arc<TestDatabase>, keys: Keys) -> Self {
        Self::with(database.connect(), database, keys)
    }

    /// A process with its own connections to that database.
    pub fn with(connected: Database, database: Arc<TestDatabase>, keys: Keys) -> Self {
        Self { app: app(connected, keys, TrustedProxies::none()), database }
    }

    /// Another process on the same database.
    pub fn replica(&self, keys: Keys) -> Self {
        Self::on(Arc::clone(&self.database), keys)
    }

    /// A process that shares the sessions and reaches its database by these connections.
    pub fn configured_copy(&self, connected: Database) -> Self {
        let mut copy = Self::with(connected, Arc::clone(&self.database), keys("key", None));
        Arc::get_mut(&mut copy.app).expect("not shared yet").sessions = self.app.sessions.clone();
        copy
    }

    /// The same behind a trusted proxy.
    pub fn behind_proxy(&self) -> Self {
        let app = app(self.database.connect(), keys("key", None), TrustedProxies::All);
        Self { app, database: Arc::clone(&self.database) }
    }

    pub fn browser(&self) -> Browser {
        Browser {
            router: router(Arc::clone(&self.app)),
            cookie: None,
            known: None,
            wrote: None,
            headers: HeaderMap::new(),
        }
    }

    /// A browser that is logged in.
    pub async fn browser_of(&self, name: &str) -> Browser {
        let mut browser = self.browser();
        let answer = browser.post("/auth/login", &[("username", name), ("password", name)]).await;
        assert_eq!(answer.location(), "/", "{name} logs in");
        browser
    }

    pub async fn register(&self, name: &str) {
        let form = [("username", name), ("password", name)];
        let answer = self.browser().post("/auth/register", &form).await;
        assert_eq!(answer.location(), "/auth/login", "{name} registers");
    }

    pub async fn execute(&self, statement: &str) -> u64 {
        execute(&self.app.database, statement).await
    }

    /// A single number from the database.
    pub async fn count(&self, statement: &str) -> i64 {
        let query = sqlx::query_scalar(AssertSqlSafe(statement.to_owned()));
        match &self.app.database {
            Database::MySql(server) => query.fetch_one(server.pool()).await.unwrap(),
            Database::Sqlite(file) => {
                sqlx::query_scalar(AssertSqlSafe(statement.to_owned())).fetch_one(file.pool()).await.unwrap()
            }
        }
    }

    /// A single text from the database.
    pub async fn text(&self, statement: &str) -> String {
        match &self.app.database {
            Database::MySql(server) => sqlx::query_scalar(AssertSqlSafe(statement.to_owned()))
                .fetch_one(server.pool())
                .await
                .unwrap(),
            Database::Sqlite(file) => {
                sqlx::query_scalar(AssertSqlSafe(statement.to_owned())).fetch_one(file.pool()).await.unwrap()
            }
        }
    }
}

pub async fn execute(database: &Database, statement: &str) -> u64 {
    let statement = AssertSqlSafe(statement.to_owned());
    match database {
        Database::MySql(server) => server.pool().execute(statement).await.unwrap().rows_affected(),
        Database::Sqlite(file) => file.pool().execute(statement).await.unwrap().rows_affected(),
    }
}

pub fn keys(current: &str, previous: Option<&str>) -> Keys {
    let derive = |secret: &str| Key::derive(secret.as_bytes());
    Keys { current: derive(current), previous: previous.map(derive) }
}

fn app(database: Database, keys: Keys, proxies: TrustedProxies) -> Arc<AppState> {
    Arc::new(AppState {
        database,
        sessions: Sessions::new(keys),
        passwords: Passwords::new(2),
        site: Arc::new(Site::new("Flaskr", None)),
        page_cache: PageCache::default(),
        markdown: MarkdownCache::default(),
        pool: BlockingPool::default(),
        metrics: Metrics::default(),
        traces: Traces::default(),
        places: Places::default(),
        login_limiter: LoginLimiter::default(),
        names: NameIndex::default(),
        registration_limiter: RegistrationLimiter::per_minute(0),
        proxies,
    })
}

/// Keeps the session cookie and follows no redirects.
#[derive(Clone)]
pub struct Browser {
    router: Router,
    pub cookie: Option<String>,
    /// Identifies the browser after its user has logged out.
    pub known: Option<String>,
    /// Reports to every replica that its user has just written.
    pub wrote: Option<String>,
    headers: HeaderMap,
}

impl Browser {
    /// Sends this header with every request.
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.insert(name, value.parse().unwrap());
        self
    }

    pub async fn get(&mut self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    /// Headers and the bytes as they were sent.
    pub async fn get_bytes(&mut self, path: &str) -> (HeaderMap, Vec<u8>) {
        let (parts, bytes) = self.exchange(Request::get(path).body(Body::empty()).unwrap()).await;
        (parts.headers, bytes)
    }

    pub async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.post_raw(path, form(fields)).await
    }

    pub async fn post_raw(&mut self, path: &str, body: impl Into<Body>) -> Answer {
        let body = body.into();
        let mut request =
            Request::post(path).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        if let Some(length) = axum::body::HttpBody::size_hint(&body).exact() {
            request = request.header(header::CONTENT_LENGTH, length);
        }
        self.send(request.body(body).unwrap()).await
    }

    pub async fn send(&mut self, request: Request<Body>) -> Answer {
        let (parts, body) = self.exchange(request).await;
        let answer =
            Answer { status: parts.status, headers: parts.headers, body: String::from_utf8(body).unwrap() };
        self.keep_cookie(&answer);
        answer
    }

    async fn exchange(&mut self, mut request: Request<Body>) -> (Parts, Vec<u8>) {
        let headers = request.headers_mut();
        headers.entry(header::HOST).or_insert("blog.example.org".parse().unwrap());
        headers.extend(self.headers.clone());
        let named = |name, value: &Option<String>| value.as_ref().map(|value| format!("{name}={value}"));
        for cookie in
            [named("session", &self.cookie), named(DEVICE_COOKIE, &self.known), named("wrote", &self.wrote)]
                .into_iter()
                .flatten()
        {
            headers.append(header::COOKIE, cookie.parse().unwrap());
        }
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        (parts, body.collect().await.unwrap().to_bytes().to_vec())
    }

    fn keep_cookie(&mut self, answer: &Answer) {
        for set in answer.headers.get_all("set-cookie") {
            let (name, value) =
                set.to_str().unwrap().split(';').next().and_then(|pair| pair.split_once('=')).unwrap();
            let value = Some(value.to_owned()).filter(|value| !value.is_empty());
            match name {
                "session" => self.cookie = value,
                DEVICE_COOKIE => self.known = value,
                "wrote" => self.wrote = value,
                other => panic!("an unknown cookie {other}"),
            }
        }
    }
}

pub fn form(fields: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Target of a redirect.
    pub fn location(&self) -> &str {
        assert_eq!(self.status, StatusCode::FOUND, "{}", self.body);
        self.header("location").unwrap()
    }

    /// Text of the message above the content, as a browser shows it.
    pub fn flash(&self) -> String {
        let start = "<div class=\"flash\" role=\"alert\">";
        let from =
            self.body.find(start).unwrap_or_else(|| panic!("no message in {}", self.body)) + start.len();
        let length = self.body[from..].find("</div>").unwrap();
        unescape(&self.body[from..from + length])
    }

    pub fn contains(&self, text: &str) -> bool {
        self.body.contains(text)
    }

    /// Titles of the posts, in their order.
    pub fn titles(&self) -> Vec<String> {
        let articles = self.body.split("<article class=\"post\">").skip(1);
        articles.map(|article| between(&between(article, "<h1>", "</h1>"), "\">", "</a>")).collect()
    }

    /// Content of a form field.
    pub fn field(&self, name: &str) -> String {
        if name == "body" {
            // Parsers drop the line break right after the tag.
            return between(&self.body, "<textarea name=\"body\" id=\"body\">\n", "</textarea>");
        }
        let at = ["<input name", "<input type=\"hidden\" name"]
            .iter()
            .find_map(|tag| self.body.find(&format!("{tag}=\"{name}\"")));
        let input = &self.body[at.unwrap()..];
        between(input, "value=\"", "\"")
    }
}

fn between(text: &str, start: &str, end: &str) -> String {
    let from = text.find(start).unwrap_or_else(|| panic!("no {start} in {text}")) + start.len();
    let length = text[from..].find(end).unwrap();
    unescape(&text[from..from + length])
}

fn unescape(text: &str) -> String {
    let pairs = [("&#60;", "<"), ("&#62;", ">"), ("&#34;", "\""), ("&#39;", "'"), ("&#38;", "&")];
    pairs.iter().fold(text.to_owned(), |text, (code, character)| text.replace(code, character))
}
