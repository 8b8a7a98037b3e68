//! Caches the HTML of Markdown posts, each rendered once and outside the request threads.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::Expiry;
use moka::future::Cache;
use sha2::{Digest, Sha256};

use crate::config::Markup;
use crate::html::blocking::{BlockingPool, Error};
use crate::html::markdown::{Outcome, markdown};
use crate::store::posts::Post;

/// Memory for the HTML, in bytes: a listing of the longest posts fits.
const CAPACITY: u64 = 16 * 1024 * 1024;
/// Size of an entry besides its text, in bytes.
const OVERHEAD: usize = 200;
/// Time after which a text that took too long is retried.
///
/// The machine may have been busy.
const RETRY_SLOW: Duration = Duration::from_secs(60);

type Key = [u8; 32];

/// Rendering results, keyed by the texts' digests.
pub struct MarkdownCache(Cache<Key, Arc<Outcome>>);

struct SlowEnds;

impl Expiry<Key, Arc<Outcome>> for SlowEnds {
    fn expire_after_create(&self, _: &Key, made: &Arc<Outcome>, _: Instant) -> Option<Duration> {
        (**made == Outcome::TooSlow).then_some(RETRY_SLOW)
    }
}

impl Default for MarkdownCache {
    fn default() -> Self {
        let weigh = |_: &Key, made: &Arc<Outcome>| u32::try_from(size(made) + OVERHEAD).unwrap_or(u32::MAX);
        Self(Cache::builder().weigher(weigh).max_capacity(CAPACITY).expire_after(SlowEnds).build())
    }
}

fn size(made: &Outcome) -> usize {
    match made {
        Outcome::Html(html) => html.len(),
        Outcome::TooLong | Outcome::TooSlow => 0,
    }
}

impl MarkdownCache {
    /// Returns the HTML of these posts.
    pub async fn bodies(
        &self,
        pool: &BlockingPool,
        markup: Markup,
        posts: impl Iterator<Item = &Post>,
    ) -> Result<Bodies, Error> {
        let mut made = HashMap::new();
        if markup == Markup::Markdown {
            for post in posts {
                made.insert(post.id, self.make(pool, &post.body).await?);
            }
        }
        Ok(Bodies(made))
    }

    /// Concurrent requests for one text share one rendering.
    async fn make(&self, pool: &BlockingPool, text: &str) -> Result<Arc<Outcome>, Error> {
        let key: Key = Sha256::digest(text).into();
        if let Some(made) = self.0.get(&key).await {
            return Ok(made);
        }
        let text = text.to_owned();
        let making = async { pool.run(move || Arc::new(markdown(&text))).await.map_err(drop) };
        self.0.try_get_with(key, making).await.map_err(|_| Error::Panicked)
    }
}

/// The HTML of a page's posts, by post id.
#[derive(Clone, Debug, Default)]
pub struct Bodies(HashMap<i64, Arc<Outcome>>);

impl Bodies {
    /// The post's HTML; `None` if the text is shown as it is.
    #[must_use]
    pub fn html(&self, post: &Post) -> Option<&str> {
        match self.0.get(&post.id)?.as_ref() {
            Outcome::Html(html) => Some(html),
            Outcome::TooLong | Outcome::TooSlow => None,
        }
    }

    /// Their length in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.values().map(|made| size(made)).sum()
    }

    /// Whether a page with them may be cached, since no rendering will be retried.
    #[must_use]
    pub fn is_final(&self) -> bool {
        !self.0.values().any(|made| **made == Outcome::TooSlow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(id: i64, body: &str) -> Post {
        let text = String::new;
        Post { id, title: text(), body: body.to_owned(), created: text(), author_id: 1, author: text() }
    }

    #[tokio::test]
    async fn an_equal_text_is_made_once() {
        let (cache, pool) = (MarkdownCache::default(), BlockingPool::default());
        let posts = [post(1, "*a*"), post(2, "*a*")];
        let bodies = cache.bodies(&pool, Markup::Markdown, posts.iter()).await.unwrap();
        assert_eq!(bodies.html(&posts[0]), Some("<p><em>a</em></p>\n"));
        assert!(Arc::ptr_eq(&bodies.0[&1], &bodies.0[&2]));
        let plain = cache.bodies(&pool, Markup::Plain, posts.iter()).await.unwrap();
        assert_eq!(plain.html(&posts[0]), None);
    }

    #[tokio::test]
    async fn kept_texts_weigh_what_they_are() {
        let (cache, pool) = (MarkdownCache::default(), BlockingPool::default());
        let posts = [post(1, &"\"".repeat(60_000))];
        let bodies = cache.bodies(&pool, Markup::Markdown, posts.iter()).await.unwrap();
        cache.0.run_pending_tasks().await;
        assert_eq!(cache.0.weighted_size(), (bodies.size() + OVERHEAD) as u64);
    }
}
