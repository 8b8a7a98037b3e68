//! `GET /static/…`.

use axum::extract::{Path, RawQuery};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::html::assets::{ICON, STYLE, hash};

/// `GET /static/{name}`.
pub async fn asset(Path(name): Path<String>, RawQuery(query): RawQuery) -> Response {
    let Some(asset) = [STYLE, ICON].into_iter().find(|asset| asset.name == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    // During a rolling update an old page may request the old file from a new replica. The new file must not be cached
    // under the old address.
    let current = query.is_some_and(|query| query == format!("v={}", hash(&asset)));
    let caching = if current { "public, max-age=31536000, immutable" } else { "no-cache" };
    ([(header::CONTENT_TYPE, asset.kind), (header::CACHE_CONTROL, caching)], asset.content).into_response()
}
