//! Pictures of every page, in light, in dark and on a phone. `dev/screenshots.sh` runs it.

#![expect(clippy::unwrap_used, reason = "a step that fails ends the program and says where")]

use std::{fs, path::Path};

use e2e::browser::Browser;

/// How a picture is taken: its suffix, the window's width, Chromium's arguments.
const LOOKS: [(&str, u32, &[&str]); 3] =
    [("light", 1000, &[]), ("dark", 1000, &["--force-dark-mode"]), ("phone", 390, &[])];

/// Name of the picture, address, and whether one has to be logged in.
const PAGES: [(&str, &str, bool); 9] = [
    ("index", "/", true),
    ("login", "/auth/login", false),
    ("register", "/auth/register", false),
    ("create", "/create", true),
    ("update", "/1/update", true),
    ("post", "/2", false),
    ("author", "/author/1", false),
    ("password", "/auth/password", true),
    ("not-found", "/nowhere", false),
];

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let (base, folder) = (arguments.next().unwrap(), arguments.next().unwrap());
    write_posts(&base).await;
    for (look, width, options) in LOOKS {
        let browser = Browser::open(&base, width, 800, options).await;
        for wants_login in [false, true] {
            if wants_login {
                log_in(&browser).await;
            }
            for (name, path, _) in PAGES.iter().filter(|page| page.2 == wants_login) {
                browser.go(path).await;
                let file = Path::new(&folder).join(format!("{name}-{look}.png"));
                fs::write(file, browser.page.screenshot().await.unwrap()).unwrap();
            }
        }
        browser.close().await;
    }
}

async fn log_in(browser: &Browser) {
    browser.go("/auth/login").await;
    browser.fill("Username", "ada").await;
    browser.fill("Password", "correct horse").await;
    browser.press("Log In").await;
}

async fn write_posts(base: &str) {
    let browser = Browser::open(base, 1000, 800, &[]).await;
    browser.go("/auth/register").await;
    browser.fill("Username", "ada").await;
    browser.fill("Password", "correct horse").await;
    browser.press("Register").await;
    log_in(&browser).await;
    for (title, body) in [
        (
            "Notes on the Analytical Engine",
            "It weaves algebraic patterns\njust as the loom weaves flowers and leaves.",
        ),
        ("Größe, Œuvre, čaj", "Rust, axum and MySQL.\n\nLine breaks stay where they were typed."),
        ("On the road", "The second post of the day, a short one."),
    ] {
        browser.go("/create").await;
        browser.fill("Title", title).await;
        browser.fill("Body", body).await;
        browser.press("Save").await;
    }
    browser.close().await;
}
