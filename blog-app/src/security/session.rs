//! Sessions without a store.
//!
//! A session is a signed cookie that every replica with the same key accepts.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use moka::sync::Cache;
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256, Sha512};

/// Name of the session cookie, as in Flask.
pub const COOKIE: &str = "session";
/// Name of the short-lived cookie after a write of its user.
pub const WROTE_COOKIE: &str = "wrote";
/// Lifetime of a login.
pub const MAX_AGE: Duration = Duration::from_secs(31 * 24 * 60 * 60);

/// A key that signs cookies, derived from a secret of any form.
#[derive(Clone)]
pub struct Key([u8; 32]);

impl Key {
    /// Derives the key.
    ///
    /// The secret itself signs nothing, so it may be a phrase, a file's bytes or random data.
    #[must_use]
    pub fn derive(secret: &[u8]) -> Self {
        let mut key = [0; 32];
        Hkdf::<Sha512>::new(None, secret)
            .expand(b"flaskblog session cookie 1", &mut key)
            .expect("32 bytes are within HKDF's limit");
        Self(key)
    }

    fn mac(&self, payload: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(payload);
        mac
    }
}

/// The key that signs, and the previous one.
///
/// After a rotation the previous key is still accepted.
#[derive(Clone)]
pub struct Keys {
    /// Signs and is accepted.
    pub current: Key,
    /// Is accepted.
    pub previous: Option<Key>,
}

/// Content of the session cookie.
///
/// New fields get a default, so that replicas of two releases read each other's cookies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The logged-in user.
    pub user: i64,
    /// Time of the login, in seconds since 1970.
    pub issued: u64,
    /// [`proof`] of the user's password hash at that time.
    #[serde(default)]
    pub proof: u64,
    /// A random number that distinguishes two logins in the same second.
    #[serde(default)]
    pub id: u64,
    /// How often the user had logged out everywhere.
    #[serde(default)]
    pub number: i64,
}

impl Session {
    /// The session's key in the database.
    ///
    /// It is a digest, so that cookies of a release without numbers have one too.
    #[must_use]
    pub fn key(&self) -> i64 {
        let text = format!("{} {} {} {} {}", self.user, self.issued, self.proof, self.id, self.number);
        let digest = Sha256::digest(text);
        digest.iter().take(8).fold(0, |number, byte| number << 8 | i64::from(*byte))
    }
}

/// Ties a session to the password hash at its login.
///
/// The session ends when the password changes. It also ends if the database is recreated and another user gets the same
/// id. The hash has a random salt, so no two users share a proof.
#[must_use]
pub fn proof(password_hash: &str) -> u64 {
    let digest = Sha256::digest(password_hash);
    digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Number of ended sessions that this process remembers.
const ENDED_HERE: u64 = 10_000;

/// Signs and verifies cookies. Clones share the keys.
#[derive(Clone)]
pub struct Sessions {
    keys: Arc<RwLock<Keys>>,
    /// Why the newest keys could not be read.
    ///
    /// The previous ones stay in use.
    key_problem: Arc<RwLock<Option<String>>>,
    /// Ended sessions by key.
    ///
    /// The database stores them for all replicas, but may be unavailable.
    ended: Cache<i64, ()>,
    /// Those of them that the database doesn't hold yet.
    unrecorded: Cache<i64, ()>,
}

impl Sessions {
    /// Uses these keys until they are replaced.
    #[must_use]
    pub fn new(keys: Keys) -> Self {
        let memory = || Cache::builder().max_capacity(ENDED_HERE).time_to_live(MAX_AGE).build();
        let (keys, key_problem) = (Arc::new(RwLock::new(keys)), Arc::default());
        Self { keys, key_problem, ended: memory(), unrecorded: memory() }
    }

    /// Replaces the keys while requests are running, for a rotation without a restart.
    pub fn replace_keys(&self, keys: Keys) {
        *self.keys.write() = keys;
        self.report_key_problem(None);
    }

    /// Records why the newest keys can't be used, for `/readyz`.
    pub fn report_key_problem(&self, cause: Option<String>) {
        *self.key_problem.write() = cause;
    }

    /// Why the newest keys can't be used.
    ///
    /// The next start of this process would fail for this reason.
    #[must_use]
    pub fn key_problem(&self) -> Option<String> {
        self.key_problem.read().clone()
    }

    fn keys(&self) -> Keys {
        self.keys.read().clone()
    }

    /// Signs the value of the cookie.
    #[must_use]
    pub fn seal(&self, session: &Session) -> String {
        self.sign("", session)
    }

    /// Verifies a cookie.
    ///
    /// One of the keys must have signed it, and it must not be too old.
    #[must_use]
    pub fn open(&self, value: &str, now: u64) -> Option<Session> {
        let session: Session = self.verified("", value)?;
        let expires = session.issued.checked_add(MAX_AGE.as_secs())?;
        (now < expires && !self.ended.contains_key(&session.key())).then_some(session)
    }

    /// Refuses this session in this process from now on.
    pub fn end(&self, session: &Session) {
        self.ended.insert(session.key(), ());
        self.unrecorded.insert(session.key(), ());
    }

    /// Keys of the ended sessions that the database doesn't hold yet.
    #[must_use]
    pub fn unrecorded(&self) -> Vec<i64> {
        self.unrecorded.iter().map(|(key, ())| *key).collect()
    }

    /// Marks an ended session as recorded in the database.
    pub fn recorded(&self, key: i64) {
        self.unrecorded.invalidate(&key);
    }

    /// Whether one of the keys signed the cookie, at any age.
    ///
    /// A member was then logged in with it.
    #[must_use]
    pub fn is_ours(&self, value: &str) -> bool {
        self.verified::<Session>("", value).is_some()
    }

    /// Signs content together with its purpose.
    ///
    /// A cookie is then not valid as one of another kind.
    pub(super) fn sign(&self, purpose: &str, content: &impl Serialize) -> String {
        let json = serde_json::to_vec(content).expect("numbers are always valid JSON");
        let payload = URL_SAFE_NO_PAD.encode(json);
        let mac = self.keys().current.mac(format!("{purpose}{payload}").as_bytes()).finalize().into_bytes();
        format!("{payload}.{}", URL_SAFE_NO_PAD.encode(mac))
    }

    pub(super) fn verified<T: serde::de::DeserializeOwned>(&self, purpose: &str, value: &str) -> Option<T> {
        let (payload, mac) = value.split_once('.')?;
        let mac = URL_SAFE_NO_PAD.decode(mac).ok()?;
        let signed = format!("{purpose}{payload}");
        let keys = self.keys();
        let signed_by = |key: &Key| key.mac(signed.as_bytes()).verify_slice(&mac).is_ok();
        if !signed_by(&keys.current) && !keys.previous.as_ref().is_some_and(signed_by) {
            return None;
        }
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
    }
}

/// The current time in seconds since 1970.
#[must_use]
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The values of all cookies of this name.
///
/// There can be several, since cookies of other ports on the same host arrive too.
pub fn cookies<'a>(headers: &'a HeaderMap, wanted: &'static str) -> impl Iterator<Item = &'a str> {
    headers.get_all(header::COOKIE).iter().flat_map(move |value| values_in(value.as_bytes(), wanted))
}

/// Foreign cookies may hold any bytes.
///
/// A value that isn't UTF-8 is ignored.
fn values_in<'a>(header: &'a [u8], wanted: &'static str) -> impl Iterator<Item = &'a str> {
    header.split(|byte| *byte == b';').filter_map(move |pair| {
        let (name, value) = std::str::from_utf8(pair).ok()?.trim().split_once('=')?;
        (name == wanted).then_some(value)
    })
}

/// The `Set-Cookie` header that logs in.
#[must_use]
pub fn set_cookie(value: &str, secure: bool) -> String {
    let attributes = attributes(secure);
    format!("{COOKIE}={value}; Max-Age={}; {attributes}", MAX_AGE.as_secs())
}

/// The `Set-Cookie` header after a write.
///
/// It makes other replicas bypass their cache, which may be a second old, for the author of the write.
pub const SET_WROTE_COOKIE: &str = "wrote=1; Max-Age=3; Path=/; HttpOnly; SameSite=Lax";

/// The `Set-Cookie` header that logs out.
#[must_use]
pub fn clear_cookie(secure: bool) -> String {
    format!("{COOKIE}=; Max-Age=0; {}", attributes(secure))
}

pub(super) fn attributes(secure: bool) -> &'static str {
    if secure { "Path=/; HttpOnly; SameSite=Lax; Secure" } else { "Path=/; HttpOnly; SameSite=Lax" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::device_cookie::DeviceCookie;

    fn sessions(current: &str, previous: Option<&str>) -> Sessions {
        let derive = |secret: &str| Key::derive(secret.as_bytes());
        Sessions::new(Keys { current: derive(current), previous: previous.map(derive) })
    }

    const SESSION: Session = Session { user: 7, issued: 1000, proof: 3, id: 9, number: 0 };

    #[test]
    fn a_sealed_session_opens_with_the_same_key_elsewhere() {
        let value = sessions("one", None).seal(&SESSION);
        assert_eq!(sessions("one", None).open(&value, 1000), Some(SESSION));
    }

    #[test]
    fn no_cookie_passes_for_one_of_the_other_kind() {
        let sessions = sessions("one", None);
        let browser = DeviceCookie { browser: 7, user: 7 };
        assert_eq!(sessions.open_device(&sessions.seal_device(&browser)), Some(browser));
        assert_eq!(sessions.open(&sessions.seal_device(&browser), 0), None);
        assert_eq!(sessions.open_device(&sessions.seal(&SESSION)), None);
    }

    #[test]
    fn the_previous_key_is_accepted_and_an_older_one_is_not() {
        let value = sessions("one", None).seal(&SESSION);
        assert_eq!(sessions("two", Some("one")).open(&value, 1000), Some(SESSION));
        assert_eq!(sessions("three", Some("two")).open(&value, 1000), None);
    }

    #[test]
    fn replaced_keys_take_effect_at_once() {
        let rotating = sessions("one", None);
        let value = rotating.seal(&SESSION);
        rotating.replace_keys(sessions("two", None).keys());
        assert_eq!(rotating.open(&value, 1000), None);
    }

    #[test]
    fn a_session_ends_after_its_time() {
        let sessions = sessions("one", None);
        let value = sessions.seal(&SESSION);
        assert!(sessions.open(&value, 1000 + MAX_AGE.as_secs() - 1).is_some());
        assert_eq!(sessions.open(&value, 1000 + MAX_AGE.as_secs()), None);
    }

    #[test]
    fn every_changed_character_breaks_the_cookie() {
        let sessions = sessions("one", None);
        let value = sessions.seal(&SESSION);
        for at in 0..value.len() {
            let mut changed = value.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(sessions.open(&changed, 1000), None, "{changed}");
        }
    }

    #[test]
    fn all_session_cookies_of_a_header_are_tried() {
        let values: Vec<&str> =
            values_in(b"a=b; \xff=\xfe; session=x;session=y; csession=z; session", COOKIE).collect();
        assert_eq!(values, ["x", "y"]);
    }

    proptest::proptest! {
        #[test]
        fn no_text_opens_or_panics(text in "\\PC*") {
            proptest::prop_assert_eq!(sessions("one", None).open(&text, 0), None);
        }

        #[test]
        fn no_header_makes_the_parser_panic(bytes in proptest::prelude::any::<Vec<u8>>()) {
            let _ = values_in(&bytes, COOKIE).count();
        }
    }
}
