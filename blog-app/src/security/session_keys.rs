//! Sources of the session keys.

use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::config::{Env, Error, Redacted, ServeArgs, Target, long_enough, read_bytes, read_optional};
use crate::security::session::{Key, Keys};

const CURRENT: &str = "BLOG_SESSION_KEY_FILE";
const PREVIOUS: &str = "BLOG_SESSION_PREVIOUS_KEY_FILE";

/// Source of the keys, kept so that they can be read again.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// Files, which a rotation changes.
    Files {
        /// The key that signs.
        current: PathBuf,
        /// The previous key.
        previous: Option<PathBuf>,
    },
    /// The original's `FLASK_APP_SECRET_KEY`.
    Phrase(Redacted<String>),
    /// A random key in a file beside the SQLite file.
    Beside(PathBuf),
}

impl KeySource {
    /// Interprets the settings.
    pub fn resolve(args: &ServeArgs, target: &Target, env: Env<'_>) -> Result<Self, Error> {
        let named = |path: &Option<PathBuf>| path.clone().filter(|path| !path.as_os_str().is_empty());
        if let Some(current) = named(&args.session_key_file) {
            return Ok(Self::Files { current, previous: named(&args.session_previous_key_file) });
        }
        if let Some(phrase) = env("FLASK_APP_SECRET_KEY") {
            return Ok(Self::Phrase(Redacted(phrase)));
        }
        match target {
            Target::Sqlite(file) => {
                let mut name = file.as_os_str().to_owned();
                name.push("-session-key");
                Ok(Self::Beside(name.into()))
            }
            Target::MySql(_) => Err(Error::NoKey),
        }
    }

    /// Reads the keys.
    ///
    /// Creates the one beside the SQLite file if it is missing.
    pub fn load(&self) -> Result<Keys, Error> {
        let (current, previous) = match self {
            Self::Files { current, previous } => {
                let key = long_enough(current, read_bytes(CURRENT, current)?)?;
                let previous = match previous {
                    Some(previous) => read_optional(PREVIOUS, previous)?,
                    None => None,
                };
                (key, previous)
            }
            Self::Phrase(Redacted(phrase)) => (phrase.clone().into_bytes(), None),
            Self::Beside(path) => (long_enough(path, read_or_make(path)?)?, None),
        };
        Ok(Keys { current: Key::derive(&current), previous: previous.map(|key| Key::derive(&key)) })
    }
}

fn read_or_make(path: &Path) -> Result<Vec<u8>, Error> {
    match std::fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make(path).map_err(|source| Error::StoreKey { path: path.to_owned(), source })
        }
        Err(source) => Err(Error::Read { setting: "the session key", path: path.to_owned(), source }),
        Ok(key) => Ok(key),
    }
}

/// Creates the key file by linking a complete draft into place.
///
/// Two processes that start at once thus agree on one key, and none reads half of it.
fn make(path: &Path) -> io::Result<Vec<u8>> {
    let key: [u8; 64] = std::array::from_fn(|_| rand::random());
    let draft = path.with_extension(format!("{:016x}", rand::random::<u64>()));
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)
        .and_then(|mut file| file.write_all(&key).and_then(|()| file.sync_all()));
    let linked = written.and_then(|()| std::fs::hard_link(&draft, path));
    let removed = std::fs::remove_file(&draft);
    match linked {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        other => other.and(removed)?,
    }
    std::fs::read(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::security::session::{Session, Sessions};

    const SESSION: Session = Session { user: 1, issued: 0, proof: 0, id: 0, number: 0 };

    fn agree(one: Keys, other: Keys) -> bool {
        Sessions::new(other).open(&Sessions::new(one).seal(&SESSION), 0).is_some()
    }

    #[test]
    fn a_key_is_made_once_and_only_its_owner_can_read_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("flaskr.sqlite-session-key");
        let source = KeySource::Beside(path.clone());
        assert!(agree(source.load().unwrap(), source.load().unwrap()));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "no draft is left");
    }

    #[test]
    fn the_previous_key_may_be_missing_or_empty() {
        let directory = tempfile::tempdir().unwrap();
        let (current, previous) = (directory.path().join("current"), directory.path().join("previous"));
        std::fs::write(&current, [7; 32]).unwrap();
        let source = KeySource::Files { current: current.clone(), previous: Some(previous.clone()) };
        assert!(source.load().unwrap().previous.is_none());
        std::fs::write(&previous, "").unwrap();
        assert!(source.load().unwrap().previous.is_none());
        let before = source.load().unwrap();
        std::fs::rename(&current, &previous).unwrap();
        std::fs::write(&current, [8; 32]).unwrap();
        assert!(agree(before, source.load().unwrap()));
    }

    #[test]
    fn a_short_key_file_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let current = directory.path().join("current");
        std::fs::write(&current, "short").unwrap();
        let error = KeySource::Files { current, previous: None }.load().err().unwrap();
        assert!(error.to_string().contains("has 5 bytes: write at least 32"), "{error}");
    }
}
