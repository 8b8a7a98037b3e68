//! Index of the names in use.
//!
//! No new name may be confusable with another user's.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use crate::db::Database;
use crate::html::names::skeleton;
use crate::store::{self, import_export, users};

/// Interval of reading all names again.
///
/// An import can add names with lower ids.
const REREAD_INTERVAL: Duration = Duration::from_secs(10 * 60);

/// The skeletons of all users' names, read from the database when needed.
#[derive(Default)]
pub struct NameIndex {
    known: Mutex<Known>,
    hasher: RandomState,
}

#[derive(Default)]
struct Known {
    /// User ids by the skeleton's hash.
    ///
    /// A match is verified by reading the name again.
    users: HashMap<u64, i64>,
    last: i64,
    begun: Option<Instant>,
}

impl NameIndex {
    /// Returns a user's name that is confusable with this one.
    pub async fn similar(&self, database: &Database, name: &str) -> Result<Option<String>, store::Error> {
        let mut known = self.known.lock().await;
        if known.begun.is_none_or(|begun| begun.elapsed() > REREAD_INTERVAL) {
            *known =
                Known { last: import_export::BEFORE_ALL, begun: Some(Instant::now()), users: HashMap::new() };
        }
        self.read_on(database, &mut known).await?;
        let wanted = skeleton(name);
        let Some(id) = known.users.get(&self.hasher.hash_one(&wanted)) else { return Ok(None) };
        let found = users::find(database, *id).await?.map(|found| found.user.name);
        Ok(found.filter(|found| skeleton(found) == wanted))
    }

    async fn read_on(&self, database: &Database, known: &mut Known) -> Result<(), store::Error> {
        loop {
            let batch = import_export::users_after(database, known.last).await?;
            let Some(last) = batch.last() else { return Ok(()) };
            known.last = last.id;
            for user in &batch {
                known.users.insert(self.hasher.hash_one(skeleton(&user.username)), user.id);
            }
        }
    }
}
