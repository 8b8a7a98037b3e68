//! Determines the client's address, using only headers of trusted proxies.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The remote end of the connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// The proxies that are trusted.
#[derive(Clone, Debug)]
pub enum TrustedProxies {
    /// Every peer.
    All,
    /// Peers in these networks.
    In(Vec<IpNet>),
}

impl TrustedProxies {
    /// Trusts no proxy.
    #[must_use]
    pub fn none() -> Self {
        Self::In(Vec::new())
    }

    fn trusts(&self, address: IpAddr) -> bool {
        match self {
            Self::All => true,
            Self::In(networks) => networks.iter().any(|network| network.contains(&address.to_canonical())),
        }
    }

    /// Determines the client's address, and removes forwarding headers of untrusted peers.
    ///
    /// No later layer can then trust them. The claim that a request came without TLS is kept, since it gains nothing.
    pub fn resolve(&self, peer: Option<Peer>, headers: &mut HeaderMap) -> Option<IpAddr> {
        let peer = peer.map(|Peer(address)| address.ip().to_canonical());
        let trusted = peer.map_or(matches!(self, Self::All), |peer| self.trusts(peer));
        if !trusted {
            headers.remove(FORWARDED_FOR);
            if !is_plain(headers) {
                headers.remove(FORWARDED_PROTO);
            }
            return peer;
        }
        self.named(headers).or(peer)
    }

    /// The last address in the list that isn't a trusted proxy itself.
    ///
    /// Each proxy appends the address of its peer. Everything before the first untrusted entry may be forged.
    fn named(&self, headers: &HeaderMap) -> Option<IpAddr> {
        let values: Vec<&HeaderValue> = headers.get_all(FORWARDED_FOR).iter().collect();
        let listed =
            values.iter().rev().filter_map(|value| value.to_str().ok()).flat_map(|text| text.rsplit(','));
        let mut last = None;
        for entry in listed {
            let Ok(address) = entry.trim().parse::<IpAddr>() else { break };
            last = Some(address.to_canonical());
            if !self.trusts(address) {
                break;
            }
        }
        last
    }
}

/// Whether a trusted proxy reports TLS; see [`TrustedProxies::resolve`].
#[must_use]
pub fn is_secure(headers: &HeaderMap) -> bool {
    said_scheme(headers, b"https")
}

/// Whether the proxy in front reports that the client uses no TLS.
#[must_use]
pub fn is_plain(headers: &HeaderMap) -> bool {
    said_scheme(headers, b"http")
}

fn said_scheme(headers: &HeaderMap, scheme: &[u8]) -> bool {
    headers.get(FORWARDED_PROTO).is_some_and(|proto| proto.as_bytes().eq_ignore_ascii_case(scheme))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(proxies: &TrustedProxies, peer: &str, forwarded: &[&str]) -> (Option<String>, bool) {
        let mut headers = HeaderMap::new();
        headers.insert(FORWARDED_PROTO, HeaderValue::from_static("https"));
        for one in forwarded {
            headers.append(FORWARDED_FOR, one.parse().unwrap());
        }
        let peer = Peer(SocketAddr::new(peer.parse().unwrap(), 1));
        let client = proxies.resolve(Some(peer), &mut headers).map(|address| address.to_string());
        (client, is_secure(&headers))
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        let proxies = TrustedProxies::In(vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()]);
        let found = |client: &str, secure| (Some(client.to_owned()), secure);
        assert_eq!(resolved(&proxies, "192.0.2.1", &["198.51.100.7"]), found("192.0.2.1", false));
        assert_eq!(resolved(&proxies, "10.1.1.1", &["198.51.100.7"]), found("198.51.100.7", true));
        assert_eq!(resolved(&proxies, "::ffff:10.1.1.1", &["198.51.100.7"]), found("198.51.100.7", true));
        assert_eq!(
            resolved(&proxies, "10.1.1.1", &["6.6.6.6, 198.51.100.7, 10.2.2.2"]),
            found("198.51.100.7", true)
        );
        assert_eq!(resolved(&proxies, "10.1.1.1", &["6.6.6.6", "198.51.100.7"]), found("198.51.100.7", true));
        assert_eq!(resolved(&proxies, "10.1.1.1", &["junk"]), found("10.1.1.1", true));
        assert_eq!(resolved(&proxies, "10.1.1.1", &[]), found("10.1.1.1", true));
        assert_eq!(resolved(&TrustedProxies::none(), "10.1.1.1", &["6.6.6.6"]), found("10.1.1.1", false));
        assert_eq!(resolved(&TrustedProxies::All, "10.1.1.1", &["6.6.6.6, 7.7.7.7"]), found("6.6.6.6", true));
    }
}
