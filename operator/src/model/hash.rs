//! Content hashes for annotations.

use serde::Serialize;
use sha2::{Digest, Sha256};

/// First 16 hex digits of the SHA-256 of the content's JSON.
#[expect(clippy::expect_used, reason = "k8s-openapi's types always serialize: they have no fallible parts")]
#[must_use]
pub fn hash_of(content: &impl Serialize) -> String {
    digits_of(&serde_json::to_vec(content).expect("a Kubernetes object serializes"))
}

/// First 16 hex digits of the SHA-256.
pub(crate) fn digits_of(content: &[u8]) -> String {
    Sha256::digest(content).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
