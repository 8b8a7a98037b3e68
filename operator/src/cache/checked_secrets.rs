//! Cache of Secret versions whose certificates were checked.

use std::collections::HashMap;

use parking_lot::Mutex;

/// Secret versions with valid data, by the uid of the blog.
#[derive(Debug, Default)]
pub struct CheckedSecrets(Mutex<HashMap<String, Option<String>>>);

impl CheckedSecrets {
    /// Whether the Secret has changed since the last call.
    ///
    /// The first version counts as unchanged.
    pub fn has_changed(&self, uid: &str, version: Option<String>) -> bool {
        let before = self.0.lock().insert(uid.to_owned(), version.clone());
        before.is_some_and(|before| before != version)
    }

    /// Evicts a deleted blog.
    pub fn forget(&self, uid: &str) {
        self.0.lock().remove(uid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_secret_is_checked_once() {
        let checked = CheckedSecrets::default();
        assert!(!checked.has_changed("uid", Some("1".into())), "the first version");
        assert!(!checked.has_changed("uid", Some("1".into())));
        assert!(checked.has_changed("uid", Some("2".into())));
        assert!(!checked.has_changed("uid", Some("2".into())));
    }
}
