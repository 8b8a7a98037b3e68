//! Statements on posts.

use sqlx::{query, query_as};

use super::{Error, execute_once, query_with_retry};
use crate::db::Database;
use crate::store::page_cursor::PageCursor;

/// Posts per page.
pub const PAGE_SIZE: usize = 20;

/// A post with its author's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Post {
    /// The row's id.
    pub id: i64,
    /// The title.
    pub title: String,
    /// The text, with line breaks as they were typed.
    pub body: String,
    /// Time of creation, UTC, `YYYY-MM-DD HH:MM:SS`.
    pub created: String,
    /// Id of the author.
    pub author_id: i64,
    /// The author's name.
    pub author: String,
}

impl Post {
    /// The day, for the byline.
    #[must_use]
    pub fn day(&self) -> &str {
        self.created.get(..10).unwrap_or(&self.created)
    }

    /// The post's position in the listing.
    #[must_use]
    pub fn cursor(&self) -> PageCursor {
        PageCursor { created: self.created.clone(), id: self.id }
    }
}

/// A part of the listing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Place {
    /// Its beginning.
    #[default]
    Newest,
    /// Posts older than this.
    Before(PageCursor),
    /// Posts newer than this, and next to it.
    After(PageCursor),
}

/// A page of the listing, with the cursors of the neighbouring pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// The posts, newest first.
    pub posts: Vec<Post>,
    /// Cursor of newer posts.
    pub newer: Option<PageCursor>,
    /// Cursor of older posts.
    pub older: Option<PageCursor>,
}

type Row = (i64, String, String, String, i64, Option<String>);

/// SQL of a page of posts.
///
/// The inner query uses an index alone and reads only one page of it, whatever the server estimates.
///
/// The outer join keeps posts without an author in the count. Otherwise a page with such posts would be taken for the last.
macro_rules! page_of_posts {
    ($where:literal, $order:literal) => {
        concat!(
            "SELECT p.id, p.title, p.body, CAST(p.created AS CHAR), p.author_id, u.username ",
            "FROM (SELECT id FROM post ",
            $where,
            " ORDER BY ",
            $order,
            " LIMIT ?) page JOIN post p ON p.id = page.id LEFT JOIN user u ON u.id = p.author_id ",
            "ORDER BY p.created DESC, p.id DESC"
        )
    };
}

const NEWEST: &str = page_of_posts!("", "created DESC, id DESC");
const OLDER: &str = page_of_posts!("WHERE created <= ? AND (created < ? OR id < ?)", "created DESC, id DESC");
const NEWER: &str = page_of_posts!("WHERE created >= ? AND (created > ? OR id > ?)", "created, id");
const AUTHORS_NEWEST: &str = page_of_posts!("WHERE author_id = ?", "created DESC, id DESC");
const AUTHORS_OLDER: &str = page_of_posts!(
    "WHERE author_id = ? AND created <= ? AND (created < ? OR id < ?)",
    "created DESC, id DESC"
);
const AUTHORS_NEWER: &str =
    page_of_posts!("WHERE author_id = ? AND created >= ? AND (created > ? OR id > ?)", "created, id");

/// Lists a page of all posts, or of one author's.
pub async fn list(
    database: &Database,
    author: Option<i64>,
    place: &Place,
    size: usize,
) -> Result<Listing, Error> {
    // One more row than is shown reveals whether there are further posts.
    let limit = i64::try_from(size).unwrap_or(i64::MAX - 1) + 1;
    let sql = match (author, place) {
        (None, Place::Newest) => NEWEST,
        (None, Place::Before(_)) => OLDER,
        (None, Place::After(_)) => NEWER,
        (Some(_), Place::Newest) => AUTHORS_NEWEST,
        (Some(_), Place::Before(_)) => AUTHORS_OLDER,
        (Some(_), Place::After(_)) => AUTHORS_NEWER,
    };
    let rows: Vec<Row> = match (author, place) {
        (None, Place::Newest) => query_with_retry!("list the posts", database, connection =>
            query_as(sql).bind(limit).fetch_all(connection))?,
        (None, Place::Before(at) | Place::After(at)) => {
            query_with_retry!("list the posts", database, connection =>
            query_as(sql).bind(&at.created).bind(&at.created).bind(at.id).bind(limit).fetch_all(connection))?
        }
        (Some(author), Place::Newest) => query_with_retry!("list the author's posts", database, connection =>
            query_as(sql).bind(author).bind(limit).fetch_all(connection))?,
        (Some(author), Place::Before(at) | Place::After(at)) => {
            query_with_retry!("list the author's posts", database, connection => query_as(sql)
                .bind(author).bind(&at.created).bind(&at.created).bind(at.id).bind(limit).fetch_all(connection))?
        }
    };
    Ok(listing(rows, place, size))
}

fn listing(mut rows: Vec<Row>, place: &Place, size: usize) -> Listing {
    let more = rows.len() > size;
    if more && matches!(place, Place::After(_)) {
        rows.remove(0);
    } else {
        rows.truncate(size);
    }
    let at = |row: Option<&Row>| row.map(|row| PageCursor { created: row.3.clone(), id: row.0 });
    let (has_newer, has_older) = match place {
        Place::Newest => (false, more),
        Place::Before(_) => (true, more),
        Place::After(_) => (more, true),
    };
    let newer = at(rows.first().filter(|_| has_newer));
    let older = at(rows.last().filter(|_| has_older));
    // Like Flaskr's inner join: a post without an author isn't shown.
    Listing { posts: rows.into_iter().filter_map(post).collect(), newer, older }
}

fn post((id, title, body, created, author_id, author): Row) -> Option<Post> {
    author.map(|author| Post { id, title, body, created, author_id, author })
}

/// Finds the post with this id.
pub async fn find(database: &Database, id: i64) -> Result<Option<Post>, Error> {
    const SQL: &str = "SELECT p.id, p.title, p.body, CAST(p.created AS CHAR), p.author_id, u.username \
         FROM post p JOIN user u ON u.id = p.author_id WHERE p.id = ?";
    let row: Option<Row> = query_with_retry!("find the post", database, connection =>
        query_as(SQL).bind(id).fetch_optional(connection))?;
    Ok(row.and_then(post))
}

/// Adds a post; the database sets its time.
pub async fn insert(database: &Database, author_id: i64, title: &str, body: &str) -> Result<(), Error> {
    const SQL: &str = "INSERT INTO post (title, body, author_id) VALUES (?, ?, ?)";
    execute_once!("save the post", database, connection =>
        query(SQL).bind(title).bind(body).bind(author_id).execute(connection))?;
    Ok(())
}

/// Changes a post of this author; false if it doesn't exist.
pub async fn update(
    database: &Database,
    id: i64,
    author_id: i64,
    title: &str,
    body: &str,
) -> Result<bool, Error> {
    const SQL: &str = "UPDATE post SET title = ?, body = ? WHERE id = ? AND author_id = ?";
    let changed = execute_once!("change the post", database, connection =>
        query(SQL).bind(title).bind(body).bind(id).bind(author_id).execute(connection))?;
    Ok(changed > 0)
}

/// Deletes a post of this author; false if it doesn't exist.
pub async fn delete(database: &Database, id: i64, author_id: i64) -> Result<bool, Error> {
    const SQL: &str = "DELETE FROM post WHERE id = ? AND author_id = ?";
    let deleted = execute_once!("delete the post", database, connection =>
        query(SQL).bind(id).bind(author_id).execute(connection))?;
    Ok(deleted > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: i64, author: Option<&str>) -> Row {
        let created = "2026-01-01 00:00:00".to_owned();
        (id, "t".to_owned(), "b".to_owned(), created, 1, author.map(str::to_owned))
    }

    fn ids(cursors: (&Option<PageCursor>, &Option<PageCursor>)) -> (Option<i64>, Option<i64>) {
        (cursors.0.as_ref().map(|it| it.id), cursors.1.as_ref().map(|it| it.id))
    }

    #[test]
    fn a_full_page_without_another_row_is_the_last() {
        let page = listing(vec![row(2, Some("a")), row(1, Some("a"))], &Place::Newest, 2);
        assert_eq!(ids((&page.newer, &page.older)), (None, None));
    }

    #[test]
    fn a_page_in_the_middle_leads_both_ways() {
        let at = PageCursor { created: "2026-01-01 00:00:00".to_owned(), id: 9 };
        let rows = || vec![row(8, Some("a")), row(7, Some("a")), row(6, Some("a"))];
        let page = listing(rows(), &Place::Before(at.clone()), 2);
        assert_eq!(ids((&page.newer, &page.older)), (Some(8), Some(7)));
        let page = listing(rows(), &Place::After(at), 2);
        assert_eq!(
            page.posts.iter().map(|post| post.id).collect::<Vec<_>>(),
            [7, 6],
            "those next to the cursor"
        );
        assert_eq!(ids((&page.newer, &page.older)), (Some(7), Some(6)));
    }

    #[test]
    fn posts_without_author_are_hidden_but_older_ones_stay_reachable() {
        let page = listing(vec![row(3, Some("a")), row(2, None), row(1, Some("a"))], &Place::Newest, 2);
        assert_eq!(page.posts.len(), 1);
        assert_eq!(page.older.map(|cursor| cursor.id), Some(2));
    }
}
