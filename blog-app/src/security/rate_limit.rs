//! Limits password guessing and mass registration.
//!
//! Failures are counted by account and not by address: an office shares one address, and a botnet has many.
//! A browser in which the account's user has logged in before is counted separately. Failing on purpose therefore
//! can't lock the user out. Each replica has its own counts, so more replicas allow a few more attempts.

use std::time::{Duration, Instant};

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use moka::sync::Cache;
use sha2::{Digest, Sha256};

/// Failed attempts in a row without a wait.
const FREE_TRIES: u32 = 5;
/// Longest wait before the next attempt.
const LONGEST_WAIT: Duration = Duration::from_secs(15 * 60);
/// Number of accounts with counts.
///
/// Beyond it, those without recent attempts are dropped first.
const ACCOUNTS: u64 = 50_000;
/// Time after its last attempt at which a count is dropped.
const MEMORY: Duration = Duration::from_secs(60 * 60);

/// Subject of a login attempt.
#[derive(Clone, Copy, Debug)]
pub enum LoginSubject<'a> {
    /// The account of this name, from any browser.
    Account(&'a str),
    /// A browser, by its number, in which this user has logged in before.
    Device(u64, i64),
}

type Key = [u8; 16];

impl LoginSubject<'_> {
    /// Names have any length; their digest has a fixed one.
    fn key(self) -> Key {
        let digest = match self {
            Self::Account(name) => Sha256::new_with_prefix(b"name ").chain_update(name),
            Self::Device(browser, user) => Sha256::new_with_prefix(b"browser ")
                .chain_update(browser.to_be_bytes())
                .chain_update(user.to_be_bytes()),
        }
        .finalize();
        std::array::from_fn(|index| digest[index])
    }
}

#[derive(Clone, Copy)]
struct Count {
    tries: u32,
    free_at: Instant,
}

/// Counts login attempts.
pub struct LoginLimiter(Cache<Key, Count>);

impl Default for LoginLimiter {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(ACCOUNTS).time_to_idle(MEMORY).build())
    }
}

impl LoginLimiter {
    /// Counts an attempt before it is made, or returns how long to wait.
    ///
    /// Counting first keeps parallel attempts from bypassing the limit.
    pub fn begin(&self, who: LoginSubject<'_>) -> Result<(), Duration> {
        self.begin_at(who, Instant::now())
    }

    fn begin_at(&self, who: LoginSubject<'_>, now: Instant) -> Result<(), Duration> {
        let mut wait = None;
        self.0.entry(who.key()).and_upsert_with(|found| {
            let count = found.map_or(Count { tries: 0, free_at: now }, moka::Entry::into_value);
            if count.free_at > now {
                wait = Some(count.free_at - now);
                return count;
            }
            let tries = count.tries.saturating_add(1);
            Count { tries, free_at: now + wait_after(tries) }
        });
        wait.map_or(Ok(()), Err)
    }

    /// Clears the count after a correct password.
    pub fn forget(&self, who: LoginSubject<'_>) {
        self.0.invalidate(&who.key());
    }
}

fn wait_after(tries: u32) -> Duration {
    if tries < FREE_TRIES {
        return Duration::ZERO;
    }
    Duration::from_secs(1 << (tries - FREE_TRIES).min(16)).min(LONGEST_WAIT)
}

/// Limits registrations.
pub struct RegistrationLimiter(Option<DefaultDirectRateLimiter>);

impl RegistrationLimiter {
    /// Allows this many per minute, and as many at once.
    ///
    /// 0 means no limit.
    #[must_use]
    pub fn per_minute(number: u32) -> Self {
        Self(std::num::NonZeroU32::new(number).map(|number| RateLimiter::direct(Quota::per_minute(number))))
    }

    /// Counts a registration, or returns how long to wait.
    pub fn begin(&self) -> Result<(), Duration> {
        let Some(limiter) = &self.0 else { return Ok(()) };
        limiter.check().map_err(|until| until.wait_time_from(DefaultClock::default().now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOB: LoginSubject<'static> = LoginSubject::Account("bob");

    #[test]
    fn after_a_few_tries_each_waits_twice_as_long_as_the_one_before() {
        let (limiter, start) = (LoginLimiter::default(), Instant::now());
        let mut now = start;
        let mut waits = Vec::new();
        for _ in 0..16 {
            while let Err(wait) = limiter.begin_at(BOB, now) {
                waits.push(wait.as_secs());
                now += wait;
            }
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900]);
    }

    #[test]
    fn many_at_once_are_counted_one_by_one() {
        let (limiter, now) = (LoginLimiter::default(), Instant::now());
        assert_eq!((0..100).filter(|_| limiter.begin_at(BOB, now).is_ok()).count(), FREE_TRIES as usize);
    }

    #[test]
    fn others_names_and_a_browser_that_the_owner_used_are_counted_by_themselves() {
        let (limiter, now) = (LoginLimiter::default(), Instant::now());
        while limiter.begin_at(BOB, now).is_ok() {}
        assert!(limiter.begin_at(LoginSubject::Account("Bob"), now).is_ok());
        let known = LoginSubject::Device(7, 1);
        while limiter.begin_at(known, now).is_ok() {}
        assert!(limiter.begin_at(LoginSubject::Device(8, 1), now).is_ok());
        limiter.forget(known);
        assert!(limiter.begin_at(known, now).is_ok());
        assert!(limiter.begin_at(BOB, now).is_err(), "the count of other browsers stays");
    }

    #[test]
    fn a_flood_of_registrations_is_bounded() {
        let bounded = RegistrationLimiter::per_minute(10);
        assert_eq!((0..100).filter(|_| bounded.begin().is_ok()).count(), 10);
        assert!(bounded.begin().is_err_and(|wait| wait <= Duration::from_secs(7)));
        let open = RegistrationLimiter::per_minute(0);
        assert!((0..1000).all(|_| open.begin().is_ok()));
    }
}
