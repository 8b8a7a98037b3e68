//! Hashes of the Flask original's users: Werkzeug's `METHOD$SALT$HEX`
//! (<https://werkzeug.palletsprojects.com/en/stable/utils/#module-werkzeug.security>).
//!
//! They are only verified. A login with one replaces it with an Argon2id hash.

use hmac::{EagerHash, Hmac};
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use subtle::ConstantTimeEq;

/// Most rounds that are computed.
///
/// Werkzeug's newest default is a million, and more could be an attack.
const MOST_ROUNDS: u32 = 5_000_000;
/// Most memory of a hash, in bytes: twice Werkzeug's default.
///
/// Two logins at once must fit into the container's memory.
const MOST_MEMORY: u64 = 64 * 1024 * 1024;

/// A Werkzeug hash that can be verified within bounds.
pub struct Legacy<'a> {
    method: Method,
    salt: &'a [u8],
    expected: Vec<u8>,
}

enum Method {
    Pbkdf2Sha1(u32),
    Pbkdf2Sha256(u32),
    Pbkdf2Sha512(u32),
    Scrypt(scrypt::Params),
}

impl<'a> Legacy<'a> {
    /// Parses a hash.
    ///
    /// `None` if it is of another kind, broken, or would take too long.
    pub fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split('$');
        let (method, salt, hex) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() || salt.is_empty() {
            return None;
        }
        let (method, expected) = (parse_method(method)?, decode_hex(hex)?);
        (expected.len() == method.length()).then_some(Self { method, salt: salt.as_bytes(), expected })
    }

    /// Verifies the password in constant time.
    pub fn verify(&self, password: &[u8]) -> bool {
        let mut key = vec![0; self.expected.len()];
        let done = match &self.method {
            Method::Pbkdf2Sha1(rounds) => pbkdf2::<Sha1>(password, self.salt, *rounds, &mut key),
            Method::Pbkdf2Sha256(rounds) => pbkdf2::<Sha256>(password, self.salt, *rounds, &mut key),
            Method::Pbkdf2Sha512(rounds) => pbkdf2::<Sha512>(password, self.salt, *rounds, &mut key),
            Method::Scrypt(params) => scrypt::scrypt(password, self.salt, params, &mut key).is_ok(),
        };
        done && bool::from(key.ct_eq(&self.expected))
    }
}

fn pbkdf2<D>(password: &[u8], salt: &[u8], rounds: u32, key: &mut [u8]) -> bool
where
    D: EagerHash<Core: Sync>,
{
    pbkdf2::pbkdf2::<Hmac<D>>(password, salt, rounds, key).is_ok()
}

impl Method {
    /// Length of the key in bytes: the digest's, and Werkzeug's choice for scrypt.
    fn length(&self) -> usize {
        match self {
            Self::Pbkdf2Sha1(_) => 20,
            Self::Pbkdf2Sha256(_) => 32,
            Self::Pbkdf2Sha512(_) | Self::Scrypt(_) => 64,
        }
    }
}

fn parse_method(text: &str) -> Option<Method> {
    let parts: Vec<&str> = text.split(':').collect();
    match parts[..] {
        ["pbkdf2", digest, rounds] => {
            let rounds = rounds.parse().ok().filter(|rounds| (1..=MOST_ROUNDS).contains(rounds))?;
            match digest {
                "sha1" => Some(Method::Pbkdf2Sha1(rounds)),
                "sha256" => Some(Method::Pbkdf2Sha256(rounds)),
                "sha512" => Some(Method::Pbkdf2Sha512(rounds)),
                _ => None,
            }
        }
        ["scrypt", n, r, p] => scrypt_params(n.parse().ok()?, r.parse().ok()?, p.parse().ok()?),
        _ => None,
    }
}

fn scrypt_params(n: u64, r: u32, p: u32) -> Option<Method> {
    let memory = n.checked_mul(u64::from(r))?.checked_mul(128)?;
    if !n.is_power_of_two() || memory > MOST_MEMORY || !(1..=4).contains(&p) {
        return None;
    }
    let log_n = u8::try_from(n.trailing_zeros()).ok()?;
    scrypt::Params::new(log_n, r, p).ok().map(Method::Scrypt)
}

fn decode_hex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Created by Werkzeug itself for the password `test`.
    ///
    /// The first is in Flaskr's own tests.
    const WERKZEUG: [&str; 5] = [
        "pbkdf2:sha256:50000$TCI4GzcX$0de171a4f4dac32e3364c7ddc7c14f3e2fa61f2d17574483f7ffbb431b4acb2f",
        "pbkdf2:sha256:1000$1pVz4fwOdfJrLuYh$8becff98a690aed91c55f2845fb309c09297ca6a201f4d2b6024954f5566e53d",
        "pbkdf2:sha1:1000$KYItjmSd2RxvesWi$c31b3555419a88e7ca45cfb20e95b614b1bba218",
        "pbkdf2:sha512:1000$iUra9t8sVgrkLhCs$50d338b191e41728fa9b599ead764f8a4e032db79370635ef7fa7c9e8f463ed7\
         1737d9ecdcd24555a8e64304c04fe24a737216cedf03e70205765c572ba712f0",
        "scrypt:32768:8:1$EEoV7iUIf56f0crw$b5b92ff2ef7d9c35bde156110ef66397e57f1d085c818684c3c5ea4ea3c26f7b\
         82bbe15589708efa6808f0f17977a930c09be40fdbb3cefc1b16e6bc9550f719",
    ];
    /// For a password that isn't ASCII.
    const FOREIGN: &str = "scrypt:32768:8:1$mZf6WzTqR5EFn2br$d318413ae94f9bc4cbe5b6c443df926e58171794ad91c4d5edd9262960f849a0\
         0f2476cd6029849332eb240363559a152f64762ec70f1c5a1143d5475d63683e";

    #[test]
    fn hashes_that_werkzeug_made_accept_their_password_and_no_other() {
        for text in WERKZEUG {
            let hash = Legacy::parse(text).expect(text);
            assert!(hash.verify(b"test"), "{text}");
            assert!(!hash.verify(b"Test") && !hash.verify(b""), "{text}");
        }
        assert!(Legacy::parse(FOREIGN).unwrap().verify("пароль 🍣".as_bytes()));
    }

    #[test]
    fn broken_foreign_and_expensive_hashes_are_refused() {
        let key = "00".repeat(32);
        let long = "00".repeat(64);
        for text in [
            String::new(),
            "test".into(),
            format!("pbkdf2:sha256:0$salt${key}"),
            format!("pbkdf2:sha256:6000000$salt${key}"),
            format!("pbkdf2:sha256$salt${key}"),
            format!("pbkdf2:md5:1000$salt${key}"),
            format!("pbkdf2:sha256:1000$$${key}"),
            format!("pbkdf2:sha256:1000$salt${key}00"),
            format!("pbkdf2:sha256:1000$salt${key}$"),
            "pbkdf2:sha256:1000$salt$é".into(),
            format!("scrypt:32768:8:1$salt${key}"),
            format!("scrypt:32767:8:1$salt${long}"),
            format!("scrypt:1048576:8:1$salt${long}"),
            format!("scrypt:32768:8:99$salt${long}"),
        ] {
            assert!(Legacy::parse(&text).is_none(), "{text}");
        }
        assert!(Legacy::parse(&format!("scrypt:32768:8:1$salt${long}")).is_some());
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC*") {
            let _ = Legacy::parse(&text);
        }
    }
}
