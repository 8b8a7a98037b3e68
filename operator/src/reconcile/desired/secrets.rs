use std::collections::BTreeMap;

use flaskblog_api::{Child, children::KEEP};
use kube::api::DynamicObject;
use serde_json::{Map, Value, json};

/// Keys and values of a generated Secret. It doesn't implement `Debug`, so no log can show a value.
pub struct SecretContent(pub Vec<(&'static str, String)>);

/// Characters of generated passwords: safe in every shell, URL and option file.
const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
/// 32 characters of 62 are 190 bits.
const PASSWORD_LENGTH: usize = 32;
/// 64 characters of 62 are 381 bits. A signing key needs 256.
const KEY_LENGTH: usize = 64;

/// A Secret that no deployment tool prunes. Its data is generated on creation.
pub(super) fn kept() -> Value {
    json!({"metadata": {"annotations": BTreeMap::from(KEEP)}})
}

/// The generated content of a new Secret, if the role has any.
///
/// `entropy` returns uniform numbers below its argument. The caller provides it, since this step does no I/O.
pub fn secret_content(role: Child, entropy: &mut dyn FnMut(usize) -> usize) -> Option<SecretContent> {
    let mut random = |length: usize| -> String {
        (0..length).map(|_| char::from(ALPHABET[entropy(ALPHABET.len())])).collect()
    };
    match role {
        Child::DatabaseSecret => Some(SecretContent(vec![
            ("root-password", random(PASSWORD_LENGTH)),
            ("username", "flaskr".into()),
            ("password", random(PASSWORD_LENGTH)),
            ("database", "flaskr".into()),
        ])),
        Child::SessionSecret => {
            Some(SecretContent(vec![("current", random(KEY_LENGTH)), ("previous", String::new())]))
        }
        _ => None,
    }
}

/// A desired Secret with its first content.
pub fn new_secret(
    role: Child,
    wanted: &DynamicObject,
    entropy: &mut dyn FnMut(usize) -> usize,
) -> DynamicObject {
    let content = secret_content(role, entropy).into_iter().flat_map(|content| content.0);
    let data: Map<String, Value> = content.map(|(key, value)| (key.to_owned(), value.into())).collect();
    DynamicObject { data: json!({"type": "Opaque", "stringData": data}), ..wanted.clone() }
}
