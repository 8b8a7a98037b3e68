//! A real browser: Chromium, driven over WebDriver.

#![expect(clippy::unwrap_used, reason = "a browser that doesn't answer is a failed test")]

use std::{
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use fantoccini::{Client, ClientBuilder, Locator, error::CmdError};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::json;
use tokio::time::timeout;

/// Two Argon2 hashes on a busy machine are far below it.
const NAVIGATION_TIMEOUT: Duration = Duration::from_secs(20);

/// No desktop window is narrower; a smaller size emulates a phone.
const NARROWEST: u32 = 500;

/// A chromedriver of its own, which ends with this value, also when a test fails.
struct Driver(Child);

impl Driver {
    fn start(port: u16) -> Self {
        let command = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(command.expect("chromedriver is installed; run dev/test.sh cluster"))
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// One window.
pub struct Browser {
    /// The WebDriver session.
    pub page: Client,
    base: String,
    _driver: Driver,
}

impl Browser {
    /// Opens a window of that size, whose addresses begin with `base`. `arguments` are further ones for Chromium.
    pub async fn open(base: &str, width: u32, height: u32, arguments: &[&str]) -> Self {
        let port = crate::free_port();
        let driver = Driver::start(port);
        let profile = std::env::temp_dir().join(unique("flaskblog-e2e"));
        let mut all = vec![
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
        ];
        let (size, profile) =
            (format!("--window-size={width},{height}"), format!("--user-data-dir={}", profile.display()));
        all.extend([size.as_str(), profile.as_str()]);
        all.extend(arguments);
        let mut options = json!({"args": all});
        if width < NARROWEST {
            let metrics = json!({"width": width, "height": height, "pixelRatio": 1.0});
            options["mobileEmulation"] = json!({"deviceMetrics": metrics});
        }
        let capabilities: serde_json::Map<_, _> =
            [("goog:chromeOptions".to_owned(), options)].into_iter().collect();
        for _ in 0..150 {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let mut builder = ClientBuilder::new(HttpConnector::new());
            builder.capabilities(capabilities.clone());
            if let Ok(page) = builder.connect(&format!("http://127.0.0.1:{port}")).await {
                return Self { page, base: base.to_owned(), _driver: driver };
            }
        }
        panic!("chromedriver returned no session within 30 s");
    }

    /// Goes to an address.
    pub async fn go(&self, path: &str) {
        self.page.goto(&format!("{}{path}", self.base)).await.unwrap();
    }

    /// Types into the field of that label.
    pub async fn fill(&self, label: &str, text: &str) {
        // By its label, as a user or a screen reader finds it.
        let id =
            self.page.find(Locator::XPath(&format!("//label[normalize-space()='{label}']"))).await.unwrap();
        let target = id.attr("for").await.unwrap().expect("a label names its field");
        let field = self.page.find(Locator::Id(&target)).await.unwrap();
        field.clear().await.unwrap();
        field.send_keys(text).await.unwrap();
    }

    /// Presses a button, which leads to another page.
    pub async fn press(&self, button: &str) {
        let path =
            format!("//input[@type='submit' and @value='{button}'] | //button[normalize-space()='{button}']");
        let found = self.page.find(Locator::XPath(&path)).await;
        let found = found.unwrap_or_else(|_| panic!("no button {button}"));
        self.to_the_next_page(found.click()).await;
    }

    /// Follows a link.
    pub async fn follow(&self, link: &str) {
        let found = self.page.find(Locator::LinkText(link)).await;
        let found = found.unwrap_or_else(|_| panic!("no link {link}"));
        self.to_the_next_page(found.click()).await;
    }

    /// Does what leads to another page, and waits until that page is complete.
    ///
    /// A click returns early: the response to its request may take much longer.
    pub async fn to_the_next_page(&self, action: impl Future<Output = Result<(), CmdError>>) {
        let old = self.page.find(Locator::Css("html")).await.unwrap();
        action.await.unwrap();
        let arrived = async {
            // An element of a page that is no longer shown is stale; while the pages change, other errors come too.
            while !old.tag_name().await.is_err_and(|error| error.is_stale_element_reference()) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            let script = "return document.readyState";
            while self.page.execute(script, vec![]).await.ok() != Some(json!("complete")) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(NAVIGATION_TIMEOUT, arrived).await.expect("the next page came within 20 s");
    }

    /// The text that the page shows.
    pub async fn text(&self) -> String {
        self.page.find(Locator::Css("body")).await.unwrap().text().await.unwrap()
    }

    /// Closes the window.
    pub async fn close(self) {
        self.page.close().await.unwrap();
    }
}

/// A name that nothing else has, and that is no part of another one.
#[must_use]
pub fn unique(prefix: &str) -> String {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    format!("{prefix}-{}-{}", NUMBER.fetch_add(1, Ordering::Relaxed), now.as_millis())
}
