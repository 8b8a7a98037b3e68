//! What all pages share: the site's name, its user and the messages above the content.

use std::sync::Arc;

use crate::config::Markup;
use crate::html::assets;
use crate::store::posts::Post;
use crate::store::users::User;

/// The site as every page shows it.
#[derive(Clone, Debug)]
pub struct Site {
    /// Its title.
    pub title: String,
    /// The title in the bar, with the version that the deployer named.
    pub header: String,
    /// What the text of a post is.
    pub markup: Markup,
    /// Whether new users may register.
    pub registration_open: bool,
    /// The blog's own address, if the deployer named it; without a slash at its end.
    pub address: Option<String>,
    /// Address of the style sheet.
    pub style: &'static str,
    /// Address of the icon.
    pub icon: &'static str,
}

impl Site {
    /// A site of this title; the original shows the environment's `APP_VERSION` beside it.
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
    /// Who is logged in.
    pub viewer: Option<User>,
    /// Messages above the content.
    pub flashes: Vec<String>,
}

impl Page {
    /// For nobody in particular.
    #[must_use]
    pub fn anonymous(site: &Arc<Site>) -> Self {
        Self { site: Arc::clone(site), viewer: None, flashes: Vec::new() }
    }

    /// The same page with a message above its content.
    #[must_use]
    pub fn flash(mut self, message: String) -> Self {
        self.flashes.push(message);
        self
    }

    /// Whether who looks wrote this.
    #[must_use]
    pub fn is_author(&self, post: &Post) -> bool {
        self.viewer.as_ref().is_some_and(|viewer| viewer.id == post.author_id)
    }
}
