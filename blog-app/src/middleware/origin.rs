//! Refuses forms that come from another site.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::uri::Uri;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tower_http::csrf::{CsrfLayer, ProtectionError};

use crate::error::{Cause, Detail};
use crate::security::trusted_proxies::{is_plain, is_secure};
use crate::state::AppState;

/// Longest origin that a page repeats, in bytes.
const LONGEST_ORIGIN: usize = 300;

/// Refuses forms of other sites.
///
/// Those of the configured address pass even if a proxy changes `Host`.
pub fn csrf_layer(address: Option<&str>) -> CsrfLayer {
    let own = address.and_then(origin_of);
    own.and_then(|own| CsrfLayer::new().add_trusted_origin(own).ok()).unwrap_or_default()
}

/// The origin of an address, as browsers write it.
fn origin_of(address: &str) -> Option<String> {
    let uri: Uri = address.parse().ok()?;
    let (scheme, host) = (uri.scheme_str()?, uri.host()?.to_ascii_lowercase());
    let usual = if scheme == "https" { 443 } else { 80 };
    let port = uri.port_u16().filter(|port| *port != usual);
    Some(port.map_or_else(|| format!("{scheme}://{host}"), |port| format!("{scheme}://{host}:{port}")))
}

/// Completes the check of the inner layer.
///
/// It checks the `Referer` if the browser sends nothing else, and the scheme if it is known. A refusal's page shows the
/// cause.
pub async fn check(State(app): State<Arc<AppState>>, mut request: Request, next: Next) -> Response {
    if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
        return next.run(request).await;
    }
    take_referer(request.headers_mut());
    let here = app.address(request.headers());
    let from = from(request.headers());
    if is_of_another_scheme(&app, request.headers()) {
        return refused(StatusCode::FORBIDDEN.into_response(), &from, &here);
    }
    let response = next.run(request).await;
    if response.extensions().get::<ProtectionError>().is_some() {
        return refused(response, &from, &here);
    }
    response
}

fn take_referer(headers: &mut HeaderMap) {
    if headers.contains_key(header::ORIGIN) || headers.contains_key("sec-fetch-site") {
        return;
    }
    let Some(referer) = headers.get(header::REFERER) else { return };
    let origin = referer.to_str().ok().and_then(origin_of);
    let origin = origin.and_then(|origin| HeaderValue::from_str(&origin).ok());
    headers.insert(header::ORIGIN, origin.unwrap_or(HeaderValue::from_static("null")));
}

/// Whether the form's scheme differs from that of the blog's address.
///
/// An untrusted proxy may report that there is no TLS in front of itself, so its header proves nothing.
fn is_of_another_scheme(app: &AppState, headers: &HeaderMap) -> bool {
    // A browser that sends this header has compared the scheme itself.
    if headers.contains_key("sec-fetch-site") {
        return false;
    }
    let origin = headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok()?.parse::<Uri>().ok());
    let Some((scheme, authority)) =
        origin.as_ref().and_then(|uri| Some((uri.scheme_str()?, uri.authority()?)))
    else {
        return false;
    };
    let host = headers.get(header::HOST).map(HeaderValue::as_bytes);
    if !host.is_some_and(|host| host.eq_ignore_ascii_case(authority.as_str().as_bytes())) {
        return false;
    }
    if is_secure(headers) {
        return scheme != "https";
    }
    let own = app.site.address.as_deref().and_then(|own| own.parse::<Uri>().ok());
    let at_home = own.as_ref().filter(|own| own.authority() == Some(authority) && !is_plain(headers));
    at_home.is_some_and(|own| own.scheme_str() != Some(scheme))
}

/// Describes the form's origin.
///
/// The header is untrusted, so only a valid address is repeated.
fn from(headers: &HeaderMap) -> String {
    let origin = headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
    let address = origin.filter(|origin| origin.len() <= LONGEST_ORIGIN).and_then(origin_of);
    address.unwrap_or_else(|| "a page that sends no address".to_owned())
}

fn refused(mut response: Response, from: &str, here: &str) -> Response {
    let detail = format!(
        "This form came from {from}, and the blog is at {here}. Please open the blog at that address and try again. \
         If that is the address you used, its owner has to tell it: by BLOG_ADDRESS, or by a proxy that keeps the Host header."
    );
    response.extensions_mut().insert(Detail(detail));
    response.extensions_mut().insert(Cause("the form came from another site".to_owned()));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_written_as_browsers_do() {
        for (address, origin) in [
            ("https://Blog.example", Some("https://blog.example")),
            ("https://blog.example:443/path", Some("https://blog.example")),
            ("http://blog.example:8080/", Some("http://blog.example:8080")),
            ("blog.example", None),
        ] {
            assert_eq!(origin_of(address).as_deref(), origin, "{address}");
        }
    }
}
