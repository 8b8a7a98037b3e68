//! Secrets and certificates in files.

use std::io;
use std::path::Path;

use super::Error;
use super::error::SHORTEST_KEY;

/// Reads a secret without the line break that editors add.
pub(super) fn read_text(setting: &'static str, path: &Path) -> Result<String, Error> {
    text_of(setting, read_bytes(setting, path)?)
}

pub(super) fn text_of(setting: &'static str, bytes: Vec<u8>) -> Result<String, Error> {
    let text = String::from_utf8(bytes).map_err(|_| Error::NotText(setting))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

pub(crate) fn read_bytes(setting: &'static str, path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|source| Error::Read { setting, path: path.to_owned(), source })
}

/// Reads a previous secret: before the first rotation the file is missing or empty.
pub(crate) fn read_optional(setting: &'static str, path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes).filter(|bytes| !bytes.is_empty())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Read { setting, path: path.to_owned(), source }),
    }
}

/// Refuses keys that can be guessed.
pub(crate) fn long_enough(path: &Path, key: Vec<u8>) -> Result<Vec<u8>, Error> {
    if key.len() < SHORTEST_KEY {
        return Err(Error::ShortKey { path: path.to_owned(), found: key.len() });
    }
    Ok(key)
}
