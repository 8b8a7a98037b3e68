//! What readers are shown, kept for a moment so that many of them cost one query, and for longer so that there is something
//! to show while the database is away.

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

/// How long a reader may be shown what was read before: also how old it may be after a write at another replica.
const FRESH: Duration = Duration::from_secs(1);
/// After the database was found to be away it isn't asked again for so long, if there is a last known page.
const AWAY: Duration = Duration::from_secs(1);
/// Memory for the last known pages, in bytes, with all their forms; and as much for the fresh ones.
const CAPACITY: u64 = 16 * 1024 * 1024;
/// A fresh page is weighed before it is rendered and compressed: this many times its texts at most.
const COPIES: usize = 4;
/// What a page costs besides its texts, in bytes.
const OVERHEAD: usize = 4096;
/// A last known page is shown for so long after it was last found to be so. Another replica may have deleted a post since.
pub const LAST_KNOWN_FOR: Duration = Duration::from_secs(60 * 60);
/// How often last known pages are read again, so that what other replicas deleted goes.
const RECHECK_INTERVAL: Duration = Duration::from_secs(60);
/// How many of them at a time, those first that were read the longest ago.
const RECHECKED_AT_ONCE: usize = 50;

/// Something that readers look at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum View {
    /// The listing.
    Index(Place),
    /// The posts of one author.
    Author(i64, Place),
    /// One post.
    Post(i64),
}

/// What there is to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A page of the listing.
    Index(Listing),
    /// A page of an author's posts.
    Author(User, Listing),
    /// A post, and those next to it.
    Post(Box<Post>, Option<Post>, Option<Post>),
}

impl Content {
    /// The size of its texts, in bytes.
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

    /// Whether anything of this post is shown, were it only its title as a neighbour.
    fn mentions(&self, post: i64) -> bool {
        let neighbours = match self {
            Self::Index(_) | Self::Author(..) => [None, None],
            Self::Post(_, newer, older) => [newer.as_ref(), older.as_ref()],
        };
        self.posts().chain(neighbours.into_iter().flatten()).any(|shown| shown.id == post)
    }
}

/// Content with the time of its reading, and the anonymous page that was made of it.
pub struct CachedPage {
    /// What was read.
    pub content: Content,
    /// When it was last found to be so.
    seen: Mutex<SystemTime>,
    /// The page, once somebody asked for it.
    pub page: tokio::sync::OnceCell<EncodedPage>,
    /// As what it was kept.
    weighed: AtomicUsize,
}

impl CachedPage {
    fn new(content: Content) -> Self {
        let weighed = AtomicUsize::new(content.weight() + OVERHEAD);
        Self { content, seen: Mutex::new(SystemTime::now()), page: tokio::sync::OnceCell::new(), weighed }
    }

    /// What it takes by now, in bytes.
    fn weight(&self) -> usize {
        self.content.weight() + self.page.get().map_or(0, EncodedPage::weight) + OVERHEAD
    }

    /// How long ago this was last found to be so.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.seen.lock().elapsed().unwrap_or_default()
    }

    fn seen_again(&self) {
        *self.seen.lock() = SystemTime::now();
    }
}

/// Why there is nothing to show.
#[derive(Clone, Debug)]
pub enum Missing {
    /// No such post or author.
    Nothing,
    /// The database says so.
    Failed(Arc<store::Error>),
}

/// The pages that are kept.
pub struct PageCache {
    /// By the number of writes at this replica before they were read, so that no read from before a write is shown after it.
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

/// A write that is under way. At its end, whatever that is, what was read before is forgotten: the answer may be lost, or
/// the client gone, and the write done all the same.
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
    /// What was read at most a second ago. Many who ask at once cost one query.
    pub async fn get_or_fetch(&self, database: &Database, view: &View) -> Result<Arc<CachedPage>, Missing> {
        let key = (self.writes.load(Ordering::SeqCst), view.clone());
        let read = self.fresh.try_get_with(key, self.fetch(database, view)).await;
        read.map_err(|missing| Missing::clone(&missing))
    }

    /// What there is now.
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

    /// What was there when the database last answered, if that is not too long ago.
    #[must_use]
    pub fn get_stale(&self, view: &View) -> Option<Arc<CachedPage>> {
        self.last.get(view).filter(|known| known.age() <= LAST_KNOWN_FOR)
    }

    /// Whether the database was found to be away a moment ago.
    #[must_use]
    pub fn is_tripped(&self) -> bool {
        self.away().is_some_and(|since| since.elapsed() < AWAY)
    }

    /// A write at this replica begins: a new post, or a change of this one.
    #[must_use]
    pub fn write(&self, post: Option<i64>) -> Writing<'_> {
        Writing { page_cache: self, post }
    }

    /// What was read before isn't shown any more: not as fresh, and of this post not as last known either.
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

    /// Reads last known pages again, for ever.
    pub async fn recheck_regularly(&self, database: &Database) {
        let mut ticks = tokio::time::interval(RECHECK_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.recheck(database, RECHECK_INTERVAL).await;
        }
    }

    /// Reads last known pages again that were not requested for that long. Without the database it changes nothing.
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

    /// Notes that a kept page has grown by forms that were made of it.
    pub fn weigh_again(&self, view: &View, known: &Arc<CachedPage>) {
        let weight = known.weight();
        if known.weighed.swap(weight, Ordering::Relaxed) == weight {
            return;
        }
        if self.last.get(view).is_some_and(|kept| Arc::ptr_eq(&kept, known)) {
            self.last.insert(view.clone(), Arc::clone(known));
        }
    }

    /// What is kept, in bytes.
    #[must_use]
    pub fn weight(&self) -> u64 {
        self.last.run_pending_tasks();
        self.last.weighted_size()
    }

    /// Content that hasn't changed keeps the page that was made of it. What was read before a write of this replica's may
    /// hold what that write removed, so it isn't kept.
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
