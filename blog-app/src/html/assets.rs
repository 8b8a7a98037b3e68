//! The static files, in the binary. Their addresses carry a hash of their content, so they may be cached for ever.

use std::sync::LazyLock;

use axum::extract::{Path, RawQuery};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

struct Asset {
    name: &'static str,
    kind: &'static str,
    content: &'static str,
}

const STYLE: Asset = Asset {
    name: "style.css",
    kind: "text/css; charset=utf-8",
    content: include_str!("../../static/style.css"),
};
const ICON: Asset =
    Asset { name: "favicon.svg", kind: "image/svg+xml", content: include_str!("../../static/favicon.svg") };

/// The address of the style sheet.
pub static STYLE_URL: LazyLock<String> = LazyLock::new(|| url(&STYLE));
/// The address of the icon.
pub static ICON_URL: LazyLock<String> = LazyLock::new(|| url(&ICON));

fn url(asset: &Asset) -> String {
    format!("/static/{}?v={}", asset.name, hash(asset))
}

fn hash(asset: &Asset) -> String {
    let digest = Sha256::digest(asset.content.as_bytes());
    digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

/// `GET /static/{name}`.
pub async fn asset(Path(name): Path<String>, RawQuery(query): RawQuery) -> Response {
    let Some(asset) = [STYLE, ICON].into_iter().find(|asset| asset.name == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    // During a rolling update an old page may ask a new replica for the old file; the new one must not be cached under
    // the old address.
    let current = query.is_some_and(|query| query == format!("v={}", hash(&asset)));
    let caching = if current { "public, max-age=31536000, immutable" } else { "no-cache" };
    ([(header::CONTENT_TYPE, asset.kind), (header::CACHE_CONTROL, caching)], asset.content).into_response()
}
