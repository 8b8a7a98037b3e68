//! Hashes passwords with Argon2id outside the async threads.
//!
//! Parallel work and the queue are bounded.

mod werkzeug;

use std::sync::Arc;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use thiserror::Error;
use tokio::sync::Semaphore;

use self::werkzeug::Legacy;
use crate::html::forms::PASSWORD_LIMIT;

/// Longest queue.
///
/// A client behind so many hashes would give up first, so it is refused.
const LONGEST_QUEUE: usize = 64;

/// Hash that is verified for an unknown name.
///
/// The time then doesn't reveal which names exist.
///
/// Its parameters are those of new hashes, which a test checks.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5J3Mgc2FsdA$ShSjdtdnSI1+Q1fzNUf8diu5r4d0wSPQxY30pKvQhzc";

/// Why a password could not be hashed or verified.
#[derive(Debug, Error)]
pub enum Error {
    /// The hash function failed.
    #[error("failed to hash a password: {0}")]
    Hash(argon2::password_hash::Error),
    /// Too many hashes are waiting to be computed.
    #[error("failed to find a place in the queue of passwords to hash")]
    Busy,
    /// The worker thread died.
    #[error("failed to wait for the password worker")]
    Worker(#[source] tokio::task::JoinError),
}

/// Result of verifying a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The password is wrong.
    Wrong,
    /// The password is correct.
    Right,
    /// The password is correct, but its hash is of an older kind.
    ///
    /// The hash should be replaced.
    RightButOutdated,
}

/// Hashes and verifies passwords.
///
/// Each hash needs 19 MiB and a core, hence the bounds.
#[derive(Clone)]
pub struct Passwords {
    working: Arc<Semaphore>,
    queue: Arc<Semaphore>,
}

impl Passwords {
    /// Allows this many hashes in parallel.
    #[must_use]
    pub fn new(at_once: usize) -> Self {
        let at_once = at_once.max(1);
        Self {
            working: Arc::new(Semaphore::new(at_once)),
            queue: Arc::new(Semaphore::new(at_once + LONGEST_QUEUE)),
        }
    }

    /// Hashes a new password, as a PHC string.
    pub async fn hash(&self, password: String) -> Result<String, Error> {
        self.work(move || Argon2::default().hash_password(password.as_bytes()).map(|hash| hash.to_string()))
            .await?
            .map_err(Error::Hash)
    }

    /// Verifies the password.
    ///
    /// A missing hash, or one of an unknown kind, is wrong after the same time.
    pub async fn verify(&self, password: String, hash: Option<String>) -> Result<Verdict, Error> {
        self.work(move || verify(&password, hash.as_deref())).await
    }

    async fn work<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
        let place = Arc::clone(&self.queue).try_acquire_owned().map_err(|_| Error::Busy)?;
        let permit = Arc::clone(&self.working).acquire_owned().await.expect("the semaphore is never closed");
        // The permits move along: a client that hangs up frees no permit while its hash is still being computed.
        tokio::task::spawn_blocking(move || {
            let _permits = (permit, place);
            job()
        })
        .await
        .map_err(Error::Worker)
    }
}

fn verify(password: &str, hash: Option<&str>) -> Verdict {
    if password.len() > PASSWORD_LIMIT {
        return Verdict::Wrong;
    }
    if let Some(legacy) = hash.and_then(Legacy::parse) {
        return if legacy.verify(password.as_bytes()) { Verdict::RightButOutdated } else { Verdict::Wrong };
    }
    let stored = hash.and_then(|hash| PasswordHash::new(hash).ok());
    let known = stored.is_some();
    let nobody = || PasswordHash::new(NOBODY).expect("a test parses it");
    let compared = stored.unwrap_or_else(nobody);
    if Argon2::default().verify_password(password.as_bytes(), &compared).is_ok() && known {
        Verdict::Right
    } else {
        Verdict::Wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_right_password_is_accepted_and_others_are_not() {
        let passwords = Passwords::new(1);
        let hash = passwords.hash("pässword 🍣".to_owned()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        let right = passwords.verify("pässword 🍣".to_owned(), Some(hash.clone())).await.unwrap();
        let wrong = passwords.verify("password".to_owned(), Some(hash)).await.unwrap();
        assert_eq!((right, wrong), (Verdict::Right, Verdict::Wrong));
    }

    #[test]
    fn nobody_has_a_password_yet_costs_as_much_as_anybody() {
        let nobody = PasswordHash::new(NOBODY).unwrap();
        let anybody = Argon2::default().hash_password(b"x").unwrap();
        assert_eq!(nobody.params, anybody.params);
        assert_eq!(nobody.algorithm, anybody.algorithm);
        assert!(nobody.hash.is_some() && nobody.salt.is_some());
        assert_eq!(verify("", None), Verdict::Wrong);
    }

    #[test]
    fn a_hash_of_another_kind_is_never_right() {
        for hash in
            ["", "test", "md5$x$098f6bcd4621d373cade4e832627b4f6", "pbkdf2:sha256:50000$TCI4GzcX$0de171a4"]
        {
            assert_eq!(verify("test", Some(hash)), Verdict::Wrong, "{hash}");
        }
    }

    #[test]
    fn a_password_of_the_originals_is_right_and_its_hash_outdated() {
        let hash =
            "pbkdf2:sha256:50000$TCI4GzcX$0de171a4f4dac32e3364c7ddc7c14f3e2fa61f2d17574483f7ffbb431b4acb2f";
        assert_eq!(verify("test", Some(hash)), Verdict::RightButOutdated);
        assert_eq!(verify("tset", Some(hash)), Verdict::Wrong);
    }

    #[tokio::test]
    async fn who_would_wait_for_too_long_is_sent_away() {
        let passwords = Passwords::new(1);
        let all: Vec<_> = (0..LONGEST_QUEUE + 20)
            .map(|_| {
                tokio::spawn({
                    let passwords = passwords.clone();
                    async move { passwords.verify(String::new(), None).await }
                })
            })
            .collect();
        let mut busy = 0;
        for one in all {
            busy += usize::from(matches!(one.await.unwrap(), Err(Error::Busy)));
        }
        assert!((1..=19).contains(&busy), "{busy} were refused");
        assert_eq!(passwords.verify(String::new(), None).await.unwrap(), Verdict::Wrong);
    }
}
