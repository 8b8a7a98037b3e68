//! Secrets that change while the blog runs: Kubernetes replaces the files under us, and nobody restarts.

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

/// After a password was changed by hand, the one before stays valid for so long: until every replica has seen the file,
/// which takes Kubernetes a minute or two.
const RETAINED: Duration = Duration::from_secs(15 * 60);

/// What may change, and who has to know.
pub struct SecretReloader {
    /// Where the keys come from.
    pub source: KeySource,
    /// Who signs with them.
    pub sessions: Sessions,
    /// Where the database's password comes from.
    pub config: DatabaseConfig,
    /// Who connects with it.
    pub database: Database,
}

impl SecretReloader {
    /// Looks at the files every few seconds, for ever.
    pub async fn watch(self) {
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first tick comes at once: what changed since the start is seen too.
        let (mut keys_seen, mut logins_seen) = (Times::new(), Times::new());
        // What was there at the start counts as seen, however soon it goes.
        let mut previous = PreviousPassword { there: self.config.rotation.is_some(), ends: None };
        loop {
            ticks.tick().await;
            let (keys, logins) = (modified(self.key_files()), modified(self.config.files()));
            // Half a change is tried again at the next tick: what was loaded before stays in force.
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

    /// Somebody is about to change it at the server, which shows in no file.
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

    /// Running connections go on; new ones use the new login, once the server was seen to accept it.
    async fn renew_login(&self, previous: &mut PreviousPassword) -> bool {
        let Database::MySql(server) = &self.database else { return true };
        match server.renew().await {
            Ok(()) => tracing::info!("took up what the files of the database's login hold now"),
            Err(error) if error.is_server_away() => return false,
            Err(error) if !self.tell_the_server(server, previous).await => {
                tracing::warn!(error = chain(&error), "failed to take up the changed login of the database");
                return false;
            }
            // At the next tick it is taken up.
            Err(_) => return false,
        }
        true
    }

    /// A person has changed the password in its file and nowhere else: we still have a login, so we change it at the server.
    async fn tell_the_server(&self, server: &MySql, previous: &mut PreviousPassword) -> bool {
        match mysql_account::set_password_from_file(server).await {
            Ok(changed) => {
                if changed {
                    tracing::info!("the server was told the password that the file holds now");
                    previous.ends = Some(Instant::now() + RETAINED);
                }
                changed
            }
            Err(error) => {
                tracing::warn!(error = chain(&error), "failed to tell the server the changed password");
                false
            }
        }
    }

    /// Ends the previous password: when its file is gone, which says that every replica has the new one, or when it was
    /// changed by hand a good while ago.
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
                tracing::info!("the previous password is no longer valid");
            }
            Err(error) => {
                tracing::warn!(error = chain(&error), "failed to end the previous password; trying again");
            }
        }
    }
}

/// What is known of the password before the present one.
#[derive(Debug)]
struct PreviousPassword {
    /// Its file holds one.
    there: bool,
    /// When it is ended at the server.
    ends: Option<Instant>,
}

/// When files were changed; none for one that isn't there.
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
