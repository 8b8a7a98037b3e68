//! What a person does, in a real browser.

use e2e::{
    URL,
    browser::{Browser, unique},
    wait_ready,
};
use fantoccini::{Locator, key::Key};

#[tokio::test]
async fn a_person_registers_logs_in_writes_edits_deletes_and_logs_out() {
    wait_ready("default", "blog");
    let browser = Browser::open(URL, 1200, 900, &[]).await;
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
    let browser = Browser::open(URL, 1200, 900, &[]).await;
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
    let browser = Browser::open(URL, 390, 844, &[]).await;
    for path in ["/", "/auth/login", "/auth/register"] {
        browser.go(path).await;
        let script = "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
        let overflow = browser.page.execute(script, vec![]).await.unwrap();
        assert_eq!(overflow, 0, "{path} is wider than the phone");
    }
    browser.close().await;
}
