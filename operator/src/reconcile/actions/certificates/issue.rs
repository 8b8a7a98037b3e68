//! Generates and signs certificates: PEM in and PEM out (no client required).

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, Error, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use time::OffsetDateTime;

/// Validity of a CA.
pub const AUTHORITY_LIFE: SignedDuration = SignedDuration::from_hours(730 * 24);
/// Validity of a server's certificate.
pub const CERTIFICATE_LIFE: SignedDuration = SignedDuration::from_hours(90 * 24);
/// Validity of both where no operator renews them: ten years.
pub const UNATTENDED_LIFE: SignedDuration = SignedDuration::from_hours(3650 * 24);
/// Backdating of a certificate, since the nodes' clocks differ.
pub const SKEW: SignedDuration = SignedDuration::from_hours(1);

/// A certificate and its private key, both as PEM. Never printed.
pub struct Pair {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

/// A new CA, which may only sign servers' certificates.
///
/// # Errors
/// When the system provides no randomness.
pub fn authority(now: Timestamp, length: SignedDuration) -> Result<Pair, Error> {
    let key = KeyPair::generate()?;
    let mut params = authority_params();
    (params.not_before, params.not_after) = life(now, length);
    let certificate = params.self_signed(&key)?;
    Ok(Pair { certificate: certificate.pem(), key: key.serialize_pem() })
}

/// A new server certificate, signed with the CA's key.
///
/// # Errors
/// When the key is malformed, or the system provides no randomness.
pub fn server(
    hosts: Vec<String>,
    authority_key: &str,
    now: Timestamp,
    length: SignedDuration,
) -> Result<Pair, Error> {
    let issuer = Issuer::new(authority_params(), KeyPair::from_pem(authority_key)?);
    let key = KeyPair::generate()?;
    let name = hosts.first().cloned().unwrap_or_default();
    let mut params = CertificateParams::new(hosts)?;
    params.distinguished_name = common_name(&name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    (params.not_before, params.not_after) = life(now, length);
    let certificate = params.signed_by(&key, &issuer)?;
    Ok(Pair { certificate: certificate.pem(), key: key.serialize_pem() })
}

/// Parameters shared by all CAs.
///
/// All CAs have one name, and their key identifiers distinguish them (RFC 5280, 4.2.1.1). So the key is sufficient to sign.
fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name("flaskblog database authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn common_name(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    // RFC 5280 allows 64 characters. Clients check only the alternative names.
    names.push(DnType::CommonName, name.chars().take(64).collect::<String>());
    names
}

fn life(now: Timestamp, length: SignedDuration) -> (OffsetDateTime, OffsetDateTime) {
    let moment = |at: Timestamp| {
        OffsetDateTime::from_unix_timestamp(at.as_second()).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    };
    (moment(now - SKEW), moment(now + length))
}
