//! A person with a real browser: Chromium, driven over WebDriver.

use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

use e2e::{URL, wait_ready};
use fantoccini::{Client, ClientBuilder, Locator, error::CmdError, key::Key};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::json;
use tokio::time::timeout;

/// Two Argon2 hashes on a busy machine are far below it.
const NAVIGATION_TIMEOUT: Duration = Duration::from_secs(20);

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
struct Browser {
    page: Client,
    _driver: Driver,
}

impl Browser {
    async fn open(width: u32, height: u32) -> Self {
        let port = 19515;
        let driver = Driver::start(port);
        let profile = std::env::temp_dir().join(unique("flaskblog-e2e"));
        let options = json!({"args": [
            "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            format!("--window-size={width},{height}"), format!("--user-data-dir={}", profile.display()),
        ]});
        let capabilities: serde_json::Map<_, _> =
            [("goog:chromeOptions".to_owned(), options)].into_iter().collect();
        for _ in 0..50 {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let mut builder = ClientBuilder::new(HttpConnector::new());
            builder.capabilities(capabilities.clone());
            if let Ok(page) = builder.connect(&format!("http://127.0.0.1:{port}")).await {
                return Self { page, _driver: driver };
            }
        }
        panic!("chromedriver gave no session within 10 s");
    }

    async fn go(&self, path: &str) {
        self.page.goto(&format!("{URL}{path}")).await.unwrap();
    }

    async fn fill(&self, label: &str, text: &str) {
        // By its label, as a person or a screen reader finds it.
        let id =
            self.page.find(Locator::XPath(&format!("//label[normalize-space()='{label}']"))).await.unwrap();
        let target = id.attr("for").await.unwrap().expect("a label names its field");
        let field = self.page.find(Locator::Id(&target)).await.unwrap();
        field.clear().await.unwrap();
        field.send_keys(text).await.unwrap();
    }

    async fn press(&self, button: &str) {
        let path =
            format!("//input[@type='submit' and @value='{button}'] | //button[normalize-space()='{button}']");
        let found = self.page.find(Locator::XPath(&path)).await;
        let found = found.unwrap_or_else(|_| panic!("no button {button}"));
        self.to_the_next_page(found.click()).await;
    }

    async fn follow(&self, link: &str) {
        let found = self.page.find(Locator::LinkText(link)).await;
        let found = found.unwrap_or_else(|_| panic!("no link {link}"));
        self.to_the_next_page(found.click()).await;
    }

    /// Does what leads to another page and waits until that page is there: a click returns when it is done, which may
    /// be long before the answer to what it sent comes.
    async fn to_the_next_page(&self, action: impl Future<Output = Result<(), CmdError>>) {
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

    async fn text(&self) -> String {
        self.page.find(Locator::Css("body")).await.unwrap().text().await.unwrap()
    }

    async fn close(self) {
        self.page.close().await.unwrap();
    }
}

fn unique(prefix: &str) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    format!("{prefix}-{}", now.as_millis())
}

#[tokio::test]
async fn a_person_registers_logs_in_writes_edits_deletes_and_logs_out() {
    wait_ready("default", "blog");
    let browser = Browser::open(1200, 900).await;
    let name = unique("ada");
    let title = unique("First & <b>bold</b>");
    browser.go("/").await;
    browser.follow("Register").await;
    browser.fill("Username", &name).await;
    browser.fill("Password", "correct horse").await;
    browser.press("Register").await;
    browser.fill("Username", &name).await;
    browser.fill("Password", "correct horse").await;
    browser.press("Log In").await;
    assert!(browser.text().await.contains(&name));
    browser.follow("New").await;
    browser.fill("Title", &title).await;
    browser.fill("Body", "line one\nline two").await;
    browser.press("Save").await;
    let page = browser.text().await;
    assert!(page.contains(&title) && page.contains(&format!("by {name} on 20")), "{page}");
    assert!(page.contains("line one\nline two"), "line breaks are lost: {page}");
    browser.follow("Edit").await;
    let changed = unique("Changed");
    browser.fill("Title", &changed).await;
    browser.press("Save").await;
    let page = browser.text().await;
    assert!(page.contains(&changed) && !page.contains(&title), "{page}");
    browser.follow("Edit").await;
    delete(&browser).await;
    assert!(!browser.text().await.contains(&changed));
    browser.press("Log Out").await;
    let page = browser.text().await;
    assert!(page.contains("Log In") && !page.contains(&name), "{page}");
    browser.close().await;
}

/// Delete asks once more before it does it, without a script.
async fn delete(browser: &Browser) {
    if let Ok(summary) = browser.page.find(Locator::Css("details > summary")).await {
        summary.click().await.unwrap();
    }
    browser.press("Delete").await;
}

#[tokio::test]
async fn the_keyboard_alone_is_enough_to_log_in() {
    let browser = Browser::open(1200, 900).await;
    let name = unique("keys");
    browser.go("/auth/register").await;
    browser.fill("Username", &name).await;
    browser.fill("Password", "correct horse").await;
    browser.press("Register").await;
    browser.go("/auth/login").await;
    let mut reached = false;
    for _ in 0..12 {
        let active = browser.page.active_element().await.unwrap();
        if active.attr("name").await.unwrap().as_deref() == Some("username") {
            reached = true;
            break;
        }
        active.send_keys(&Key::Tab.to_string()).await.unwrap();
    }
    assert!(reached, "Tab never reached the user name");
    browser
        .page
        .active_element()
        .await
        .unwrap()
        .send_keys(&format!("{name}{}", char::from(Key::Tab)))
        .await
        .unwrap();
    let password = format!("correct horse{}", char::from(Key::Enter));
    let field = browser.page.active_element().await.unwrap();
    browser.to_the_next_page(field.send_keys(&password)).await;
    assert!(browser.text().await.contains(&name));
    browser.close().await;
}

#[tokio::test]
async fn on_a_phone_no_page_scrolls_sideways() {
    let browser = Browser::open(390, 844).await;
    for path in ["/", "/auth/login", "/auth/register"] {
        browser.go(path).await;
        let script = "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
        let overflow = browser.page.execute(script, vec![]).await.unwrap();
        assert_eq!(overflow, 0, "{path} is wider than the phone");
    }
    browser.close().await;
}
