//! Reloads secrets that Kubernetes replaces in their files, without a restart.

use std::path::Path;
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::config::DatabaseConfig;
use crate::db::{Database, MySql};
use crate::error::chain;
use crate::security::session::Sessions;
use crate::security::session_keys::KeySource;
use crate::store::mysql_account;

const PERIOD: Duration = Duration::from_secs(10);

/// How long the previous password stays valid after a change in its file.
///
/// By then every replica has read the file, which takes Kubernetes a minute or two to update.
const RETAINED: Duration = Duration::from_secs(15 * 60);

/// Watches the secrets' files and updates their users.
pub struct SecretReloader {
    /// Source of the session keys.
    pub source: KeySource,
    /// Signs with the session keys.
    pub sessions: Sessions,
    /// Source of the database's login.
    pub config: DatabaseConfig,
    /// Connects with the login.
    pub database: Database,
}

impl SecretReloader {
    /// Reads the files every few seconds, without end.
    pub async fn watch(self) {
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first tick is immediate, so a change since the start is noticed too.
        let (mut keys_seen, mut logins_seen) = (Times::new(), Times::new());
        // A previous password that existed at the start counts as seen, however soon it is removed.
        let mut previous = PreviousPassword { there: self.config.rotation.is_some(), ends: None };
        loop {
            ticks.tick().await;
            let (keys, logins) = (modified(self.key_files()), modified(self.config.files()));
            // An incomplete change is retried at the next tick; until then the loaded values stay in use.
            if keys != keys_seen && self.reload_keys() {
                keys_seen = keys;
            }
            if (logins != logins_seen || self.is_on_previous_password())
                && self.renew_login(&mut previous).await
            {
                logins_seen = logins;
            }
            self.end_previous(&mut previous).await;
        }
    }

    /// Whether the server accepts only the previous password.
    ///
    /// Its change shows in no file.
    fn is_on_previous_password(&self) -> bool {
        matches!(&self.database, Database::MySql(server) if server.is_on_previous_password())
    }

    fn key_files(&self) -> Vec<&Path> {
        match &self.source {
            KeySource::Files { current, previous } => {
                std::iter::once(current.as_path()).chain(previous.as_deref()).collect()
            }
            KeySource::Phrase(_) | KeySource::Beside(_) => Vec::new(),
        }
    }

    fn reload_keys(&self) -> bool {
        match self.source.load() {
            Ok(keys) => self.sessions.replace_keys(keys),
            Err(error) => {
                let cause = chain(&error).to_string();
                tracing::warn!(error = cause, "failed to read the changed session keys");
                self.sessions.report_key_problem(Some(cause));
                return false;
            }
        }
        tracing::debug!("read the session keys again");
        true
    }

    /// Switches new connections to the new login, once the server has accepted it.
    ///
    /// Existing connections stay open.
    async fn renew_login(&self, previous: &mut PreviousPassword) -> bool {
        let Database::MySql(server) = &self.database else { return true };
        match server.renew().await {
            Ok(()) => tracing::info!("reloaded the database's login"),
            Err(error) if error.is_server_away() => return false,
            Err(error) if !self.tell_the_server(server, previous).await => {
                tracing::warn!(error = chain(&error), "failed to reload the database's login");
                return false;
            }
            // The next tick retries.
            Err(_) => return false,
        }
        true
    }

    /// Sets the file's password at the server with the login that still works.
    ///
    /// An administrator has changed the password in its file only.
    async fn tell_the_server(&self, server: &MySql, previous: &mut PreviousPassword) -> bool {
        match mysql_account::set_password_from_file(server).await {
            Ok(changed) => {
                if changed {
                    tracing::info!("changed the account's password in MySQL to match the file");
                    previous.ends = Some(Instant::now() + RETAINED);
                }
                changed
            }
            Err(error) => {
                tracing::warn!(error = chain(&error), "failed to change the account's password in MySQL");
                false
            }
        }
    }

    /// Discards the previous password at the server.
    ///
    /// This happens when its file is gone, which means that every replica has the new one. It also happens some time after a
    /// change in the password's file.
    async fn end_previous(&self, previous: &mut PreviousPassword) {
        let Database::MySql(server) = &self.database else { return };
        let Ok(config) = server.config().reload() else { return };
        let there = config.rotation.is_some();
        let was_there = std::mem::replace(&mut previous.there, there);
        if was_there && !there {
            previous.ends = Some(Instant::now());
        }
        if there || previous.ends.is_none_or(|ends| ends > Instant::now()) {
            return;
        }
        match mysql_account::discard_previous(server).await {
            Ok(()) => {
                previous.ends = None;
                tracing::info!("discarded the previous password");
            }
            Err(error) => {
                tracing::warn!(error = chain(&error), "failed to discard the previous password; retrying");
            }
        }
    }
}

/// State of the previous password.
#[derive(Debug)]
struct PreviousPassword {
    /// Whether its file holds one.
    there: bool,
    /// When it is discarded at the server.
    ends: Option<Instant>,
}

/// Modification times of files; `None` for a missing one.
type Times = Vec<Option<SystemTime>>;

fn modified(files: Vec<&Path>) -> Times {
    files.into_iter().map(|path| std::fs::metadata(path).and_then(|it| it.modified()).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DatabaseArgs;
    use crate::security::session::{Key, Keys, Session};

    const SESSION: Session = Session { user: 1, issued: 0, proof: 0, id: 0, number: 0 };

    #[tokio::test(start_paused = true)]
    async fn rotated_keys_are_in_force_without_a_restart_and_half_a_rotation_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let (current, previous) = (directory.path().join("current"), directory.path().join("previous"));
        std::fs::write(&current, [1; 32]).unwrap();
        let source = KeySource::Files { current: current.clone(), previous: Some(previous.clone()) };
        let sessions = Sessions::new(source.load().unwrap());
        let url = format!("sqlite:{}/x.sqlite", directory.path().display());
        let args = DatabaseArgs { database_url: Some(url), ..DatabaseArgs::default() };
        let config = DatabaseConfig::resolve(&args, &|_| None).unwrap();
        let database = Database::lazy(&config);
        let secrets = SecretReloader { source, sessions: sessions.clone(), config, database };
        let watching = tokio::spawn(secrets.watch());
        let signed_with = |byte: u8| {
            let keys = Keys { current: Key::derive(&[byte; 32]), previous: None };
            sessions.open(&Sessions::new(keys).seal(&SESSION), 0).is_some()
        };

        std::fs::write(&current, "").unwrap();
        tokio::time::sleep(PERIOD * 2).await;
        assert!(signed_with(1), "an empty file is no key");
        assert!(sessions.key_problem().is_some_and(|cause| cause.contains("current")), "a start would fail");
        std::fs::write(&current, [2; 32]).unwrap();
        tokio::time::sleep(PERIOD * 2).await;
        assert!(signed_with(2) && !signed_with(1));
        assert_eq!(sessions.key_problem(), None);
        std::fs::write(&previous, [1; 32]).unwrap();
        tokio::time::sleep(PERIOD * 2).await;
        assert!(signed_with(2) && signed_with(1), "the previous key is valid as well");
        std::fs::remove_file(&previous).unwrap();
        tokio::time::sleep(PERIOD * 2).await;
        assert!(signed_with(2) && !signed_with(1), "until it is gone");
        watching.abort();
    }
}
