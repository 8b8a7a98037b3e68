//! The names that are taken, so that no new one looks like another user's.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use crate::db::Database;
use crate::html::names::skeleton;
use crate::store::{self, import_export, users};

/// Names with lower ids can come by an import, so all are read again from time to time.
const REREAD_INTERVAL: Duration = Duration::from_secs(10 * 60);

/// The skeletons of all users' names, read from the database as they are needed.
#[derive(Default)]
pub struct NameIndex {
    known: Mutex<Known>,
    hasher: RandomState,
}

#[derive(Default)]
struct Known {
    /// By the skeleton's hash, the user's id: a name is read again before it counts.
    users: HashMap<u64, i64>,
    last: i64,
    begun: Option<Instant>,
}

impl NameIndex {
    /// A user's name that looks like this one.
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
