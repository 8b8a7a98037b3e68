//! Passwords: Argon2id off the async threads, as many at once as there are cores.

use std::sync::Arc;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use thiserror::Error;
use tokio::sync::Semaphore;

use crate::forms::PASSWORD_LIMIT;

/// The hash that an unknown name's password is compared with, so that the time of the answer doesn't tell whether the
/// name exists. Its parameters are those of new hashes, kept so by a test.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5J3Mgc2FsdA$ShSjdtdnSI1+Q1fzNUf8diu5r4d0wSPQxY30pKvQhzc";

/// Why there is no hash or no answer.
#[derive(Debug, Error)]
pub enum Error {
    /// The library refused.
    #[error("failed to hash a password: {0}")]
    Hash(argon2::password_hash::Error),
    /// The worker thread died.
    #[error("failed to wait for the password worker")]
    Worker(#[source] tokio::task::JoinError),
}

/// Hashes and verifies. Each hash needs 19 MiB and a core, hence the bound.
#[derive(Clone)]
pub struct Passwords(Arc<Semaphore>);

impl Passwords {
    /// With this many at once.
    #[must_use]
    pub fn new(at_once: usize) -> Self {
        Self(Arc::new(Semaphore::new(at_once.max(1))))
    }

    /// The hash of a new password, as a PHC string.
    pub async fn hash(&self, password: String) -> Result<String, Error> {
        self.work(move || Argon2::default().hash_password(password.as_bytes()).map(|hash| hash.to_string()))
            .await?
            .map_err(Error::Hash)
    }

    /// Whether this is the password. Without a hash, or with one of an unknown kind, the answer is no after the same
    /// time.
    pub async fn verify(&self, password: String, hash: Option<String>) -> Result<bool, Error> {
        self.work(move || verify(&password, hash.as_deref())).await
    }

    async fn work<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
        let permit = Arc::clone(&self.0).acquire_owned().await.expect("the semaphore is never closed");
        // The permit goes along: a client that hangs up doesn't make room while its hash is still being computed.
        tokio::task::spawn_blocking(move || {
            let _permit = permit;
            job()
        })
        .await
        .map_err(Error::Worker)
    }
}

fn verify(password: &str, hash: Option<&str>) -> bool {
    if password.len() > PASSWORD_LIMIT {
        return false;
    }
    let stored = hash.and_then(|hash| PasswordHash::new(hash).ok());
    let known = stored.is_some();
    let nobody = || PasswordHash::new(NOBODY).expect("a test parses it");
    let compared = stored.unwrap_or_else(nobody);
    Argon2::default().verify_password(password.as_bytes(), &compared).is_ok() && known
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_right_password_is_accepted_and_others_are_not() {
        let passwords = Passwords::new(1);
        let hash = passwords.hash("pässword 🍣".to_owned()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(passwords.verify("pässword 🍣".to_owned(), Some(hash.clone())).await.unwrap());
        assert!(!passwords.verify("password".to_owned(), Some(hash)).await.unwrap());
    }

    #[test]
    fn nobody_has_a_password_yet_costs_as_much_as_anybody() {
        let nobody = PasswordHash::new(NOBODY).unwrap();
        let anybody = Argon2::default().hash_password(b"x").unwrap();
        assert_eq!(nobody.params, anybody.params);
        assert_eq!(nobody.algorithm, anybody.algorithm);
        assert!(nobody.hash.is_some() && nobody.salt.is_some());
        assert!(!verify("", None));
    }

    #[test]
    fn a_hash_of_another_kind_is_never_right() {
        assert!(!verify("test", Some("pbkdf2:sha256:50000$TCI4GzcX$0de171a4")));
    }
}
