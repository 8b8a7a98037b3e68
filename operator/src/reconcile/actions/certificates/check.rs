//! Whether the certificates' Secret still holds what MySQL and the blog need (no client required).
//!
//! The operator watches only the metadata of Secrets. It reads the data when another client has changed the Secret, or when
//! a replica can't use its database.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use k8s_openapi::{ByteString, jiff::Timestamp};
use rcgen::KeyPair;
use rustls::{
    RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    sign::CertifiedKey,
};

/// The unusable part of the Secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// The CA or its key: nothing can be signed or verified.
    Authority,
    /// The server's certificate or key.
    Certificate,
}

/// The unusable part of the Secret for a server of that name.
#[must_use]
pub fn defect(host: &str, data: &BTreeMap<String, ByteString>, now: Timestamp) -> Option<Defect> {
    let bytes = |key: &str| data.get(key).map_or(&[][..], |value| value.0.as_slice());
    let authority_key = std::str::from_utf8(bytes("ca.key")).ok().and_then(|key| KeyPair::from_pem(key).ok());
    let authorities = certificates(bytes("ca.crt")).and_then(roots);
    let (Some(_), Some(authorities)) = (authority_key, authorities) else { return Some(Defect::Authority) };
    let chain = certificates(bytes("tls.crt"));
    let is_good = chain.is_some_and(|chain| {
        fits_key(&chain, bytes("tls.key")) && is_trusted(&chain, authorities, host, now)
    });
    (!is_good).then_some(Defect::Certificate)
}

fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    parsed.ok().filter(|certificates| !certificates.is_empty())
}

fn roots(certificates: Vec<CertificateDer<'static>>) -> Option<RootCertStore> {
    let mut roots = RootCertStore::empty();
    certificates.into_iter().try_for_each(|certificate| roots.add(certificate)).ok()?;
    Some(roots)
}

fn fits_key(chain: &[CertificateDer<'static>], key: &[u8]) -> bool {
    let Ok(key) = PrivateKeyDer::from_pem_slice(key) else { return false };
    let Ok(key) = ring::sign::any_supported_type(&key) else { return false };
    CertifiedKey::new(chain.to_vec(), key).keys_match().is_ok()
}

fn is_trusted(
    chain: &[CertificateDer<'static>],
    authorities: RootCertStore,
    host: &str,
    now: Timestamp,
) -> bool {
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(authorities), provider).build();
    let (Ok(verifier), Ok(name), Some((server, rest))) =
        (verifier, ServerName::try_from(host), chain.split_first())
    else {
        return false;
    };
    let since_epoch = Duration::from_secs(u64::try_from(now.as_second()).unwrap_or(0));
    let now = UnixTime::since_unix_epoch(since_epoch);
    verifier.verify_server_cert(server, rest, &name, &[], now).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model::blog_meta::BlogMeta, reconcile::actions::certificates::first};

    const HOST: &str = "daily-mysql";

    fn secret(now: Timestamp) -> BTreeMap<String, ByteString> {
        let id =
            BlogMeta { namespace: "press".into(), name: "daily".into(), uid: "1".into(), generation: None };
        let content = first(&id, now).unwrap();
        content
            .data
            .into_iter()
            .map(|(key, value)| (key.to_owned(), ByteString(value.into_bytes())))
            .collect()
    }

    #[test]
    fn generated_secret_has_no_defect_until_it_expires() {
        let now = Timestamp::now();
        let data = secret(now);
        assert_eq!(defect(HOST, &data, now), None);
        let later = now + k8s_openapi::jiff::SignedDuration::from_hours(24 * 120);
        assert_eq!(defect(HOST, &data, later), Some(Defect::Certificate));
    }

    #[test]
    fn garbage_in_any_key_is_a_defect() {
        let now = Timestamp::now();
        let other = secret(now);
        for (key, expected) in [
            ("tls.crt", Defect::Certificate),
            ("tls.key", Defect::Certificate),
            ("ca.crt", Defect::Authority),
            ("ca.key", Defect::Authority),
        ] {
            for value in [ByteString(b"garbage".to_vec()), ByteString(Vec::new())] {
                let mut data = secret(now);
                data.insert(key.to_owned(), value);
                assert_eq!(defect(HOST, &data, now), Some(expected), "{key}");
            }
            if key != "ca.key" {
                let mut data = secret(now);
                data.insert(key.to_owned(), other[key].clone());
                assert_eq!(defect(HOST, &data, now), Some(Defect::Certificate), "{key} of another blog");
            }
        }
        assert_eq!(defect(HOST, &BTreeMap::new(), now), Some(Defect::Authority));
    }
}
