//! The frame of all pages.
//!
//! It has the site's title, the user and the messages above the content.

use std::sync::Arc;

use crate::config::Markup;
use crate::html::assets;
use crate::store::posts::Post;
use crate::store::users::User;

/// Settings of the site that every page shows.
#[derive(Clone, Debug)]
pub struct Site {
    /// The title.
    pub title: String,
    /// The title in the navigation bar, with the configured version.
    pub header: String,
    /// Format of the posts' texts.
    pub markup: Markup,
    /// Whether new users may register.
    pub registration_open: bool,
    /// The configured external address, without a trailing slash.
    pub address: Option<String>,
    /// Address of the style sheet.
    pub style: &'static str,
    /// Address of the icon.
    pub icon: &'static str,
}

impl Site {
    /// Creates the site.
    ///
    /// Like the original it shows the environment's `APP_VERSION` beside the title.
    #[must_use]
    pub fn new(title: &str, version: Option<&str>) -> Self {
        let header =
            version.map_or_else(|| title.to_owned(), |version| format!("{title} - version {version}"));
        Self {
            title: title.to_owned(),
            header,
            markup: Markup::default(),
            registration_open: true,
            address: None,
            style: &assets::STYLE_URL,
            icon: &assets::ICON_URL,
        }
    }
}

/// The frame around a page's content.
#[derive(Clone, Debug)]
pub struct Page {
    /// The site.
    pub site: Arc<Site>,
    /// The logged-in user.
    pub viewer: Option<User>,
    /// Messages above the content.
    pub flashes: Vec<String>,
}

impl Page {
    /// Creates an anonymous page.
    #[must_use]
    pub fn anonymous(site: &Arc<Site>) -> Self {
        Self { site: Arc::clone(site), viewer: None, flashes: Vec::new() }
    }

    /// Adds a message above the content.
    #[must_use]
    pub fn flash(mut self, message: String) -> Self {
        self.flashes.push(message);
        self
    }

    /// Whether the logged-in user is this author.
    #[must_use]
    pub fn is_author(&self, post: &Post) -> bool {
        self.viewer.as_ref().is_some_and(|viewer| viewer.id == post.author_id)
    }
}
