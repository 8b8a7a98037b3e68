//! Static files, embedded in the binary.
//!
//! Their addresses carry a hash of their content, so they are cached without limit.

use std::sync::LazyLock;

use sha2::{Digest, Sha256};

/// A static file.
pub struct Asset {
    /// Last component of its address.
    pub name: &'static str,
    /// Its content type.
    pub kind: &'static str,
    /// Its text.
    pub content: &'static str,
}

/// The style sheet.
pub const STYLE: Asset = Asset {
    name: "style.css",
    kind: "text/css; charset=utf-8",
    content: include_str!("../../static/style.css"),
};
/// The icon.
pub const ICON: Asset =
    Asset { name: "favicon.svg", kind: "image/svg+xml", content: include_str!("../../static/favicon.svg") };

/// Address of the style sheet.
pub static STYLE_URL: LazyLock<String> = LazyLock::new(|| url(&STYLE));
/// Address of the icon.
pub static ICON_URL: LazyLock<String> = LazyLock::new(|| url(&ICON));

fn url(asset: &Asset) -> String {
    format!("/static/{}?v={}", asset.name, hash(asset))
}

/// Hash of the content, for the file's address.
pub fn hash(asset: &Asset) -> String {
    let digest = Sha256::digest(asset.content.as_bytes());
    digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}
