//! Caches pages for readers.
//!
//! Fresh pages live for a second, so that many readers cost one query. Stale pages are kept longer, to be shown while
//! the database is unavailable.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use moka::{future, sync};
use tokio::time::MissedTickBehavior;

use parking_lot::Mutex;

use crate::cache::encoded_page::EncodedPage;
use crate::db::Database;
use crate::store;
use crate::store::posts::{self, Listing, PAGE_SIZE, Place, Post};
use crate::store::users::{self, User};

/// How long a cached page counts as fresh.
///
/// This also bounds how old a page may be after a write at another replica.
const FRESH: Duration = Duration::from_secs(1);
/// Pause between queries while the database is unavailable and a stale page exists.
const AWAY: Duration = Duration::from_secs(1);
/// Memory for stale pages with all their forms, in bytes.
///
/// Fresh pages may use as much again.
const CAPACITY: u64 = 16 * 1024 * 1024;
/// Estimated size of a page per byte of its texts.
///
/// It counts before the page is rendered and compressed.
const COPIES: usize = 4;
/// Size of a page besides its texts, in bytes.
const OVERHEAD: usize = 4096;
/// How long a stale page is shown after it was last read or confirmed.
///
/// Another replica may have deleted a post since.
pub const LAST_KNOWN_FOR: Duration = Duration::from_secs(60 * 60);
/// Interval at which stale pages are read again, which removes what other replicas deleted.
const RECHECK_INTERVAL: Duration = Duration::from_secs(60);
/// Number of pages per recheck, the oldest first.
const RECHECKED_AT_ONCE: usize = 50;

/// A page that readers can request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum View {
    /// A page of the list of all posts.
    Index(Place),
    /// A page of one author's posts.
    Author(i64, Place),
    /// A single post.
    Post(i64),
}

/// Content of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A page of the list of all posts.
    Index(Listing),
    /// A page of an author's posts.
    Author(User, Listing),
    /// A post with its neighbours.
    Post(Box<Post>, Option<Post>, Option<Post>),
}

impl Content {
    /// Size of its texts, in bytes.
    #[must_use]
    pub fn weight(&self) -> usize {
        let text = |post: &Post| post.body.len() + post.title.len() + post.author.len() + 200;
        match self {
            Self::Index(listing) | Self::Author(_, listing) => listing.posts.iter().map(text).sum(),
            Self::Post(post, newer, older) => text(post) + newer.iter().chain(older).map(text).sum::<usize>(),
        }
    }

    /// The posts whose texts are shown.
    pub fn posts(&self) -> impl Iterator<Item = &Post> {
        let (listed, single) = match self {
            Self::Index(listing) | Self::Author(_, listing) => (listing.posts.as_slice(), None),
            Self::Post(post, ..) => (&[][..], Some(post.as_ref())),
        };
        listed.iter().chain(single)
    }

    /// Whether the page shows anything of this post, including its title as a neighbour.
    fn mentions(&self, post: i64) -> bool {
        let neighbours = match self {
            Self::Index(_) | Self::Author(..) => [None, None],
            Self::Post(_, newer, older) => [newer.as_ref(), older.as_ref()],
        };
        self.posts().chain(neighbours.into_iter().flatten()).any(|shown| shown.id == post)
    }
}

/// Content with the time of its reading, and the anonymous page rendered from it.
pub struct CachedPage {
    /// The content as read from the database.
    pub content: Content,
    /// When it was last read or confirmed.
    seen: Mutex<SystemTime>,
    /// The rendered page, once it was requested.
    pub page: tokio::sync::OnceCell<EncodedPage>,
    /// Weight under which the page was last inserted.
    weighed: AtomicUsize,
}

impl CachedPage {
    fn new(content: Content) -> Self {
        let weighed = AtomicUsize::new(content.weight() + OVERHEAD);
        Self { content, seen: Mutex::new(SystemTime::now()), page: tokio::sync::OnceCell::new(), weighed }
    }

    /// Current weight, in bytes.
    fn weight(&self) -> usize {
        self.content.weight() + self.page.get().map_or(0, EncodedPage::weight) + OVERHEAD
    }

    /// Time since the content was last read or confirmed.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.seen.lock().elapsed().unwrap_or_default()
    }

    fn seen_again(&self) {
        *self.seen.lock() = SystemTime::now();
    }
}

/// Why a page has no content.
#[derive(Clone, Debug)]
pub enum Missing {
    /// The post or author doesn't exist.
    Nothing,
    /// The query failed.
    Failed(Arc<store::Error>),
}

/// Fresh and stale pages.
pub struct PageCache {
    /// Fresh pages, keyed by the number of writes at this replica before they were read.
    ///
    /// A page that was read before a write is therefore never shown after it.
    fresh: future::Cache<(u64, View), Arc<CachedPage>>,
    last: sync::Cache<View, Arc<CachedPage>>,
    away_since: Mutex<Option<Instant>>,
    writes: AtomicU64,
}

impl Default for PageCache {
    fn default() -> Self {
        let weigh = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
        let fresh = future::Cache::builder().weigher(move |_: &(u64, View), known: &Arc<CachedPage>| {
            weigh(known.content.weight() * COPIES + OVERHEAD)
        });
        let last = sync::Cache::builder()
            .weigher(move |_: &View, known: &Arc<CachedPage>| weigh(known.weighed.load(Ordering::Relaxed)));
        Self {
            fresh: fresh.max_capacity(CAPACITY).time_to_live(FRESH).build(),
            last: last.max_capacity(CAPACITY).build(),
            away_since: Mutex::new(None),
            writes: AtomicU64::new(0),
        }
    }
}

/// A write in progress; dropping it invalidates what was read before.
///
/// That holds however the write ends. The answer may be lost or the client gone although the write was done.
pub struct Writing<'a> {
    page_cache: &'a PageCache,
    post: Option<i64>,
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.page_cache.invalidate(self.post);
    }
}

impl PageCache {
    /// Returns content at most a second old. Concurrent readers share one query.
    pub async fn get_or_fetch(&self, database: &Database, view: &View) -> Result<Arc<CachedPage>, Missing> {
        let key = (self.writes.load(Ordering::SeqCst), view.clone());
        let read = self.fresh.try_get_with(key, self.fetch(database, view)).await;
        read.map_err(|missing| Missing::clone(&missing))
    }

    /// Reads the current content.
    pub async fn fetch(&self, database: &Database, view: &View) -> Result<Arc<CachedPage>, Missing> {
        let writes = self.writes.load(Ordering::SeqCst);
        match read(database, view).await {
            Ok(Some(content)) => Ok(self.keep(view, content, writes)),
            Ok(None) => {
                self.last.invalidate(view);
                Err(Missing::Nothing)
            }
            Err(error) => {
                if error.is_unavailable() {
                    *self.away() = Some(Instant::now());
                }
                Err(Missing::Failed(Arc::new(error)))
            }
        }
    }

    /// Returns the last content that was read, if it isn't too old.
    #[must_use]
    pub fn get_stale(&self, view: &View) -> Option<Arc<CachedPage>> {
        self.last.get(view).filter(|known| known.age() <= LAST_KNOWN_FOR)
    }

    /// Whether the database was found unavailable less than a second ago.
    #[must_use]
    pub fn is_tripped(&self) -> bool {
        self.away().is_some_and(|since| since.elapsed() < AWAY)
    }

    /// Registers a write at this replica.
    ///
    /// It is a new post, or a change of this one.
    #[must_use]
    pub fn write(&self, post: Option<i64>) -> Writing<'_> {
        Writing { page_cache: self, post }
    }

    /// Drops all fresh pages, and the stale pages that mention this post.
    fn invalidate(&self, post: Option<i64>) {
        self.writes.fetch_add(1, Ordering::SeqCst);
        self.fresh.invalidate_all();
        let Some(post) = post else { return };
        for (view, known) in &self.last {
            if known.content.mentions(post) {
                self.last.invalidate(view.as_ref());
            }
        }
    }

    /// Rechecks stale pages at an interval, without end.
    pub async fn recheck_regularly(&self, database: &Database) {
        let mut ticks = tokio::time::interval(RECHECK_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.recheck(database, RECHECK_INTERVAL).await;
        }
    }

    /// Reads the stale pages again that were not requested for this long.
    ///
    /// While the database is unavailable nothing changes.
    pub async fn recheck(&self, database: &Database, unread_for: Duration) {
        let mut due: Vec<(Duration, View)> = self
            .last
            .iter()
            .map(|(view, known)| (known.age(), View::clone(&view)))
            .filter(|(age, _)| *age >= unread_for)
            .collect();
        due.sort_unstable_by_key(|(age, _)| std::cmp::Reverse(*age));
        for (_, view) in due.into_iter().take(RECHECKED_AT_ONCE) {
            if let Err(Missing::Failed(_)) = self.fetch(database, &view).await {
                return;
            }
        }
    }

    /// Updates the weight of a page that has grown by rendered forms.
    pub fn weigh_again(&self, view: &View, known: &Arc<CachedPage>) {
        let weight = known.weight();
        if known.weighed.swap(weight, Ordering::Relaxed) == weight {
            return;
        }
        if self.last.get(view).is_some_and(|kept| Arc::ptr_eq(&kept, known)) {
            self.last.insert(view.clone(), Arc::clone(known));
        }
    }

    /// Weight of all cached pages, in bytes.
    #[must_use]
    pub fn weight(&self) -> u64 {
        self.last.run_pending_tasks();
        self.last.weighted_size()
    }

    /// Inserts the content as a stale page.
    ///
    /// Unchanged content keeps its rendered page.
    ///
    /// Content that was read before a write at this replica isn't kept, since it may hold what that write removed.
    fn keep(&self, view: &View, content: Content, writes: u64) -> Arc<CachedPage> {
        *self.away() = None;
        if let Some(known) = self.last.get(view).filter(|known| known.content == content) {
            known.seen_again();
            return known;
        }
        let known = Arc::new(CachedPage::new(content));
        self.last.insert(view.clone(), Arc::clone(&known));
        if self.writes.load(Ordering::SeqCst) != writes {
            self.last.invalidate(view);
        }
        known
    }

    fn away(&self) -> parking_lot::MutexGuard<'_, Option<Instant>> {
        self.away_since.lock()
    }
}

async fn read(database: &Database, view: &View) -> Result<Option<Content>, store::Error> {
    match view {
        View::Index(place) => Ok(Some(Content::Index(posts::list(database, None, place, PAGE_SIZE).await?))),
        View::Author(id, place) => {
            let Some(found) = users::find(database, *id).await? else { return Ok(None) };
            let listing = posts::list(database, Some(*id), place, PAGE_SIZE).await?;
            Ok(Some(Content::Author(found.user, listing)))
        }
        View::Post(id) => {
            let Some(post) = posts::find(database, *id).await? else { return Ok(None) };
            let newer = posts::list(database, None, &Place::After(post.cursor()), 1).await?;
            let older = posts::list(database, None, &Place::Before(post.cursor()), 1).await?;
            let first = |listing: Listing| listing.posts.into_iter().next();
            Ok(Some(Content::Post(Box::new(post), first(newer), first(older))))
        }
    }
}
