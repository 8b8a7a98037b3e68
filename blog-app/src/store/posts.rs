//! The posts.

use sqlx::{query, query_as};

use super::{Error, read, write};
use crate::cursor::Cursor;
use crate::db::Database;

/// A post with its author's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Post {
    /// The row's id.
    pub id: i64,
    /// The title.
    pub title: String,
    /// The text, line breaks as they were typed.
    pub body: String,
    /// When it was written, UTC, `YYYY-MM-DD HH:MM:SS`.
    pub created: String,
    /// Who wrote it.
    pub author_id: i64,
    /// The author's name.
    pub author: String,
}

impl Post {
    /// The day of the byline.
    #[must_use]
    pub fn day(&self) -> &str {
        self.created.get(..10).unwrap_or(&self.created)
    }
}

/// One page of the listing, and where the next one starts if there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// The posts, newest first.
    pub posts: Vec<Post>,
    /// Where older posts start.
    pub older: Option<Cursor>,
}

type Row = (i64, String, String, String, i64, Option<String>);

/// The inner query is answered by the index alone, so that one page of it is read and no more, whatever the server
/// thinks of the number of posts. The outer join keeps posts without author in the count, so that such a page doesn't
/// look like the last.
const NEWEST: &str = "SELECT p.id, p.title, p.body, CAST(p.created AS CHAR), p.author_id, u.username \
     FROM (SELECT id FROM post ORDER BY created DESC, id DESC LIMIT ?) newest \
     JOIN post p ON p.id = newest.id LEFT JOIN user u ON u.id = p.author_id \
     ORDER BY p.created DESC, p.id DESC";
const OLDER: &str = "SELECT p.id, p.title, p.body, CAST(p.created AS CHAR), p.author_id, u.username \
     FROM (SELECT id FROM post WHERE created <= ? AND (created < ? OR id < ?) \
           ORDER BY created DESC, id DESC LIMIT ?) older \
     JOIN post p ON p.id = older.id LEFT JOIN user u ON u.id = p.author_id \
     ORDER BY p.created DESC, p.id DESC";

/// The newest posts, or those older than the cursor.
pub async fn list(database: &Database, before: Option<&Cursor>, size: usize) -> Result<Listing, Error> {
    // One more than is shown tells whether there are older ones.
    let limit = i64::try_from(size).unwrap_or(i64::MAX - 1) + 1;
    let rows: Vec<Row> = match before {
        None => read!("list the newest posts", database, connection =>
            query_as(NEWEST).bind(limit).fetch_all(connection))?,
        Some(Cursor { created, id }) => read!("list older posts", database, connection =>
            query_as(OLDER).bind(created).bind(created).bind(*id).bind(limit).fetch_all(connection))?,
    };
    Ok(listing(rows, size))
}

fn listing(mut rows: Vec<Row>, size: usize) -> Listing {
    let more = rows.len() > size;
    rows.truncate(size);
    let last = rows.last().filter(|_| more);
    let older = last.map(|row| Cursor { created: row.3.clone(), id: row.0 });
    // Like Flaskr's inner join: a post whose author is gone isn't shown.
    Listing { posts: rows.into_iter().filter_map(post).collect(), older }
}

fn post((id, title, body, created, author_id, author): Row) -> Option<Post> {
    author.map(|author| Post { id, title, body, created, author_id, author })
}

/// The post of this id.
pub async fn find(database: &Database, id: i64) -> Result<Option<Post>, Error> {
    const SQL: &str = "SELECT p.id, p.title, p.body, CAST(p.created AS CHAR), p.author_id, u.username \
         FROM post p JOIN user u ON u.id = p.author_id WHERE p.id = ?";
    let row: Option<Row> = read!("find the post", database, connection =>
        query_as(SQL).bind(id).fetch_optional(connection))?;
    Ok(row.and_then(post))
}

/// Adds a post; the database says when.
pub async fn insert(database: &Database, author_id: i64, title: &str, body: &str) -> Result<(), Error> {
    const SQL: &str = "INSERT INTO post (title, body, author_id) VALUES (?, ?, ?)";
    write!("save the post", database, connection =>
        query(SQL).bind(title).bind(body).bind(author_id).execute(connection))?;
    Ok(())
}

/// Changes a post of this author; false if there is none.
pub async fn update(
    database: &Database,
    id: i64,
    author_id: i64,
    title: &str,
    body: &str,
) -> Result<bool, Error> {
    const SQL: &str = "UPDATE post SET title = ?, body = ? WHERE id = ? AND author_id = ?";
    let changed = write!("change the post", database, connection =>
        query(SQL).bind(title).bind(body).bind(id).bind(author_id).execute(connection))?;
    Ok(changed > 0)
}

/// Removes a post of this author; false if there is none.
pub async fn delete(database: &Database, id: i64, author_id: i64) -> Result<bool, Error> {
    const SQL: &str = "DELETE FROM post WHERE id = ? AND author_id = ?";
    let deleted = write!("delete the post", database, connection =>
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

    #[test]
    fn a_full_page_without_another_row_is_the_last() {
        assert_eq!(listing(vec![row(2, Some("a")), row(1, Some("a"))], 2).older, None);
    }

    #[test]
    fn posts_without_author_are_hidden_but_older_ones_stay_reachable() {
        let page = listing(vec![row(3, Some("a")), row(2, None), row(1, Some("a"))], 2);
        assert_eq!(page.posts.len(), 1);
        assert_eq!(page.older.map(|cursor| cursor.id), Some(2));
    }
}
