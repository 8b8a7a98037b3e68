//! A page that is the same for all readers.
//!
//! It holds its bytes, its ETag and its compressed forms, each computed once.

use std::io::Write;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;

use crate::html::blocking::{BlockingPool, Error};

/// Smallest page that is compressed, in bytes: below this it saves nothing.
const WORTH_IT: usize = 1024;
/// Compression levels for Brotli and zstd: most of the gain in little time.
const BROTLI_QUALITY: u32 = 5;
const ZSTD_LEVEL: i32 = 3;
const BROTLI_WINDOW: u32 = 20;

/// An encoded page, ready to be sent.
pub struct EncodedPage {
    kind: HeaderValue,
    html: Bytes,
    etag: HeaderValue,
    brotli: OnceCell<Bytes>,
    zstd: OnceCell<Bytes>,
    gzip: OnceCell<Bytes>,
}

/// Content codings, the smallest result first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Brotli,
    Zstd,
    Gzip,
    Identity,
}

impl Coding {
    fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
            Self::Identity => "identity",
        }
    }

    /// The best coding that the client accepts (RFC 9110, section 12.5.3).
    ///
    /// `*` selects gzip, which all clients support.
    fn wanted(headers: &HeaderMap) -> Self {
        let accepted =
            headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or("");
        let takes = |name: &str| {
            accepted.split(',').any(|one| {
                let mut parts = one.split(';').map(str::trim);
                let named = parts.next().is_some_and(|coding| coding.eq_ignore_ascii_case(name));
                named && !parts.any(|parameter| matches!(parameter, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
            })
        };
        let known = [Self::Brotli, Self::Zstd, Self::Gzip].into_iter().find(|coding| takes(coding.name()));
        known.unwrap_or(if takes("*") { Self::Gzip } else { Self::Identity })
    }
}

impl EncodedPage {
    /// Creates the page from its HTML.
    #[must_use]
    pub fn html(text: String) -> Self {
        let digest = Sha256::digest(text.as_bytes());
        // Weak: all compressed forms share one tag. It is ASCII, so it is a valid header value.
        let etag = format!("W/\"{}\"", URL_SAFE_NO_PAD.encode(&digest[..12]));
        Self {
            kind: HeaderValue::from_static("text/html; charset=utf-8"),
            html: text.into(),
            etag: HeaderValue::from_str(&etag).unwrap_or(HeaderValue::from_static("W/\"\"")),
            brotli: OnceCell::new(),
            zstd: OnceCell::new(),
            gzip: OnceCell::new(),
        }
    }

    /// Answers a request for the page.
    ///
    /// The response is 304 if the client's copy is current, else the best accepted form.
    pub async fn answer(&self, pool: &BlockingPool, headers: &HeaderMap) -> Result<Response, Error> {
        let fixed = [
            (header::ETAG, self.etag.clone()),
            // Clients may store the page but must revalidate it: a deleted post must not be shown from their cache.
            (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
            (header::VARY, HeaderValue::from_static("Cookie, Accept-Encoding")),
        ];
        if self.is_known_to(headers) {
            return Ok((StatusCode::NOT_MODIFIED, fixed).into_response());
        }
        let coding = if self.html.len() < WORTH_IT { Coding::Identity } else { Coding::wanted(headers) };
        let bytes = self.encoded(pool, coding).await?;
        let mut response = (fixed, Body::from(bytes)).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, self.kind.clone());
        if coding != Coding::Identity {
            response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
        }
        Ok(response)
    }

    /// Size of all forms that exist by now, in bytes.
    #[must_use]
    pub fn weight(&self) -> usize {
        let forms = [&self.brotli, &self.zstd, &self.gzip];
        let made = forms.into_iter().filter_map(OnceCell::get).map(Bytes::len);
        self.html.len() + made.sum::<usize>()
    }

    fn is_known_to(&self, headers: &HeaderMap) -> bool {
        let tag = self.etag.as_bytes();
        let strong = &tag[2..];
        let tags = headers
            .get_all(header::IF_NONE_MATCH)
            .iter()
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii));
        tags.into_iter().any(|one| one == tag || one == strong || one == b"*")
    }

    async fn encoded(&self, pool: &BlockingPool, coding: Coding) -> Result<Bytes, Error> {
        let cell = match coding {
            Coding::Identity => return Ok(self.html.clone()),
            Coding::Brotli => &self.brotli,
            Coding::Zstd => &self.zstd,
            Coding::Gzip => &self.gzip,
        };
        let make = || async {
            let html = self.html.clone();
            pool.run(move || compress(coding, &html)).await
        };
        cell.get_or_try_init(make).await.cloned()
    }
}

/// Compresses into memory, where writing can't fail.
fn compress(coding: Coding, html: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(html.len() / 3);
    match coding {
        Coding::Brotli => {
            let mut writer = brotli::CompressorWriter::new(&mut out, 4096, BROTLI_QUALITY, BROTLI_WINDOW);
            let _ = writer.write_all(html);
            drop(writer);
        }
        Coding::Zstd => out = zstd::bulk::compress(html, ZSTD_LEVEL).unwrap_or_default(),
        Coding::Gzip => {
            let mut writer = flate2::write::GzEncoder::new(&mut out, flate2::Compression::default());
            let _ = writer.write_all(html);
            let _ = writer.finish();
        }
        Coding::Identity => out.extend_from_slice(html),
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn headers(name: header::HeaderName, value: &str) -> HeaderMap {
        [(name, value.parse().unwrap())].into_iter().collect()
    }

    #[test]
    fn the_smallest_form_that_the_client_takes_is_chosen() {
        for (accepted, coding) in [
            ("", Coding::Identity),
            ("gzip, deflate, br, zstd", Coding::Brotli),
            ("gzip, zstd;q=0.5", Coding::Zstd),
            ("gzip, br;q=0", Coding::Gzip),
            ("GZIP;q=1.0", Coding::Gzip),
            ("*", Coding::Gzip),
            ("identity", Coding::Identity),
            ("bro, gzi", Coding::Identity),
        ] {
            assert_eq!(Coding::wanted(&headers(header::ACCEPT_ENCODING, accepted)), coding, "{accepted}");
        }
    }

    #[test]
    fn every_form_is_the_page() {
        let page = "<p>text</p>".repeat(1000);
        let mut text = String::new();
        let gzip = compress(Coding::Gzip, page.as_bytes());
        flate2::read::GzDecoder::new(&gzip[..]).read_to_string(&mut text).unwrap();
        assert_eq!(text, page);
        let zstd = zstd::bulk::decompress(&compress(Coding::Zstd, page.as_bytes()), 1 << 20).unwrap();
        assert_eq!(zstd, page.as_bytes());
        text.clear();
        let brotli = compress(Coding::Brotli, page.as_bytes());
        brotli::Decompressor::new(&brotli[..], 4096).read_to_string(&mut text).unwrap();
        assert_eq!(text, page);
    }

    #[tokio::test]
    async fn who_has_the_page_already_gets_no_body() {
        let (page, pool) = (EncodedPage::html("x".repeat(2000)), BlockingPool::default());
        let etag = page.etag.to_str().unwrap().to_owned();
        for known in [etag.clone(), etag[2..].to_owned(), format!("\"other\", {etag}"), "*".to_owned()] {
            let answer = page.answer(&pool, &headers(header::IF_NONE_MATCH, &known)).await.unwrap();
            assert_eq!(answer.status(), StatusCode::NOT_MODIFIED, "{known}");
        }
        let answer = page.answer(&pool, &headers(header::IF_NONE_MATCH, "\"other\"")).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
    }
}
