//! What a user does, in a real browser.

use e2e::browser::{Browser, unique};
use fantoccini::{Locator, key::Key};

use crate::test_blog::TestBlog;

#[tokio::test]
async fn user_registers_logs_in_writes_edits_deletes_and_logs_out() {
    let blog = TestBlog::acquire_default();
    let browser = Browser::open(&blog.url, 1200, 900, &[]).await;
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

/// Delete needs a confirmation, without a script.
async fn delete(browser: &Browser) {
    if let Ok(summary) = browser.page.find(Locator::Css("details > summary")).await {
        summary.click().await.unwrap();
    }
    browser.press("Delete").await;
}

#[tokio::test]
async fn the_keyboard_alone_is_enough_to_log_in() {
    let blog = TestBlog::acquire_default();
    let browser = Browser::open(&blog.url, 1200, 900, &[]).await;
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

/// axe-core checks what can be checked automatically: names, roles, contrast, order of headings
/// (<https://github.com/dequelabs/axe-core>).
#[tokio::test]
async fn axe_finds_nothing_serious_on_any_page_in_light_and_in_dark() {
    let blog = TestBlog::acquire_default();
    let axe = std::env::var("AXE_JS").expect("AXE_JS is not set: run dev/test.sh cluster");
    let axe = std::fs::read_to_string(axe).unwrap();
    for arguments in [&[][..], &["--force-dark-mode"]] {
        let browser = Browser::open(&blog.url, 1200, 900, arguments).await;
        let name = unique("axe");
        browser.go("/auth/register").await;
        browser.fill("Username", &name).await;
        browser.fill("Password", "correct horse").await;
        browser.press("Register").await;
        let visitors = check(&browser, &axe, &["/", "/auth/login", "/auth/register", "/nowhere"]).await;
        browser.go("/auth/login").await;
        browser.fill("Username", &name).await;
        browser.fill("Password", "correct horse").await;
        browser.press("Log In").await;
        browser.go("/create").await;
        browser.fill("Title", &unique("Checked by axe")).await;
        browser.press("Save").await;
        let edit =
            browser.page.find(Locator::LinkText("Edit")).await.unwrap().attr("href").await.unwrap().unwrap();
        let post = edit.trim_end_matches("/update").to_owned();
        let author = browser.page.find(Locator::Css("a[rel=author]")).await.unwrap();
        let author = author.attr("href").await.unwrap().unwrap();
        let members = check(&browser, &axe, &["/", &edit, &post, &author, "/create", "/auth/password"]).await;
        browser.close().await;
        assert!(visitors.is_empty() && members.is_empty(), "{arguments:?}: {visitors:#?} {members:#?}");
    }
}

/// What axe finds to be serious or critical, page by page.
async fn check(browser: &Browser, axe: &str, paths: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for path in paths {
        browser.go(path).await;
        // WebDriver runs a script whatever the page's policy for scripts is.
        browser.page.execute(&format!("{axe}; window.axe = axe;"), vec![]).await.unwrap();
        let script = "const done = arguments[arguments.length - 1]; \
                      axe.run().then(result => done(result), error => done({error: String(error)}));";
        let result = browser.page.execute_async(script, vec![]).await.unwrap();
        let violations =
            result["violations"].as_array().unwrap_or_else(|| panic!("axe failed on {path}: {result}"));
        assert!(
            result["passes"].as_array().is_some_and(|passes| passes.len() > 5),
            "axe saw no page at {path}"
        );
        let serious =
            violations.iter().filter(|one| one["impact"] == "serious" || one["impact"] == "critical");
        found.extend(serious.map(|one| format!("{path}: {} {}", one["help"], one["nodes"])));
    }
    found
}

#[tokio::test]
async fn on_a_phone_no_page_scrolls_sideways() {
    let blog = TestBlog::acquire_default();
    let browser = Browser::open(&blog.url, 390, 844, &[]).await;
    for path in ["/", "/auth/login", "/auth/register"] {
        browser.go(path).await;
        let script = "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
        let overflow = browser.page.execute(script, vec![]).await.unwrap();
        assert_eq!(overflow, 0, "{path} is wider than the phone");
    }
    browser.close().await;
}
