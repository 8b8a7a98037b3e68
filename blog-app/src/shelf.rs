//! What readers are shown, kept for a moment so that many of them cost one query, and for longer so that there is something
//! to show while the database is away.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use moka::{future, sync};

use crate::blog::PAGE_SIZE;
use crate::db::Database;
use crate::rendered::Rendered;
use crate::store;
use crate::store::posts::{self, Listing, Place, Post};
use crate::store::users::{self, User};

/// How long a reader may be shown what was read before: also how old it may be after a write at another replica.
const FRESH: Duration = Duration::from_secs(1);
/// After the database was found to be away it isn't asked again for so long, if there is a last known page.
const AWAY: Duration = Duration::from_secs(1);
/// Memory for the last known pages, in bytes, rendered forms included.
const CAPACITY: u64 = 16 * 1024 * 1024;
/// A page is kept as it was read, rendered, and compressed; this many times its texts at most.
const COPIES: usize = 4;
/// Places that are fresh at once.
const FRESH_PLACES: u64 = 1000;

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
    fn weight(&self) -> usize {
        let text = |post: &Post| post.body.len() + post.title.len() + post.author.len() + 200;
        let texts: usize = match self {
            Self::Index(listing) | Self::Author(_, listing) => listing.posts.iter().map(text).sum(),
            Self::Post(post, newer, older) => text(post) + newer.iter().chain(older).map(text).sum::<usize>(),
        };
        texts * COPIES + 4096
    }
}

/// Content with the time of its reading, and the anonymous page that was made of it.
pub struct Known {
    /// What was read.
    pub content: Content,
    /// When it was last found to be so.
    seen: Mutex<SystemTime>,
    /// The page, once somebody asked for it.
    pub page: tokio::sync::OnceCell<Rendered>,
}

impl Known {
    fn new(content: Content) -> Self {
        Self { content, seen: Mutex::new(SystemTime::now()), page: tokio::sync::OnceCell::new() }
    }

    /// How long ago this was last found to be so.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).elapsed().unwrap_or_default()
    }

    fn seen_again(&self) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = SystemTime::now();
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
pub struct Shelf {
    fresh: future::Cache<View, Arc<Known>>,
    last: sync::Cache<View, Arc<Known>>,
    away_since: Mutex<Option<Instant>>,
}

impl Default for Shelf {
    fn default() -> Self {
        let weigh = |_: &View, known: &Arc<Known>| u32::try_from(known.content.weight()).unwrap_or(u32::MAX);
        Self {
            fresh: future::Cache::builder().max_capacity(FRESH_PLACES).time_to_live(FRESH).build(),
            last: sync::Cache::builder().weigher(weigh).max_capacity(CAPACITY).build(),
            away_since: Mutex::new(None),
        }
    }
}

impl Shelf {
    /// What was read at most a second ago. Many who ask at once cost one query.
    pub async fn recent(&self, database: &Database, view: &View) -> Result<Arc<Known>, Missing> {
        let read = self.fresh.try_get_with_by_ref(view, self.now(database, view)).await;
        read.map_err(|missing| Missing::clone(&missing))
    }

    /// What there is now.
    pub async fn now(&self, database: &Database, view: &View) -> Result<Arc<Known>, Missing> {
        match read(database, view).await {
            Ok(Some(content)) => Ok(self.keep(view, content)),
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

    /// What was there when the database last answered.
    #[must_use]
    pub fn last_known(&self, view: &View) -> Option<Arc<Known>> {
        self.last.get(view)
    }

    /// Whether the database was found to be away a moment ago.
    #[must_use]
    pub fn is_away(&self) -> bool {
        self.away().is_some_and(|since| since.elapsed() < AWAY)
    }

    /// Somebody has written at this replica: what was read before is read anew.
    pub fn changed(&self) {
        self.fresh.invalidate_all();
    }

    /// Pages that are kept, for the metrics.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.last.entry_count()
    }

    /// Whether no page is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Content that hasn't changed keeps the page that was made of it.
    fn keep(&self, view: &View, content: Content) -> Arc<Known> {
        *self.away() = None;
        if let Some(known) = self.last.get(view).filter(|known| known.content == content) {
            known.seen_again();
            return known;
        }
        let known = Arc::new(Known::new(content));
        self.last.insert(view.clone(), Arc::clone(&known));
        known
    }

    fn away(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.away_since.lock().unwrap_or_else(PoisonError::into_inner)
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
