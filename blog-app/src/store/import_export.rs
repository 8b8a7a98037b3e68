//! Reads and writes all rows of a blog, for import and export.

use serde::{Deserialize, Serialize};
use sqlx::{Connection, query, query_as, query_scalar};

use super::{Error, query_with_retry};
use crate::db::{Database, acquire_checked};

/// Rows per batch.
pub const BATCH: usize = 500;

/// An id below every possible one, including those that this program never assigns.
pub const BEFORE_ALL: i64 = i64::MIN;

/// A user as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::FromRow)]
#[serde(deny_unknown_fields)]
pub struct UserRow {
    /// The id.
    pub id: i64,
    /// The name.
    pub username: String,
    /// The password's hash.
    pub password: String,
}

/// A post as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::FromRow)]
#[serde(deny_unknown_fields)]
pub struct PostRow {
    /// The id.
    pub id: i64,
    /// Id of the author.
    pub author_id: i64,
    /// Time of creation, UTC, `YYYY-MM-DD HH:MM:SS`.
    pub created: String,
    /// The title.
    pub title: String,
    /// The text.
    pub body: String,
}

/// A row of either table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Record {
    /// A user.
    User(UserRow),
    /// A post.
    Post(PostRow),
}

const USERS_AFTER: &str = "SELECT id, username, password FROM user WHERE id > ? ORDER BY id LIMIT ?";
const POSTS_AFTER: &str = "SELECT id, author_id, CAST(created AS CHAR) AS created, title, body FROM post \
     WHERE id > ? ORDER BY id LIMIT ?";

/// Reads the next users by id.
pub async fn users_after(database: &Database, id: i64) -> Result<Vec<UserRow>, Error> {
    query_with_retry!("read the users", database, connection =>
        query_as(USERS_AFTER).bind(id).bind(BATCH as i64).fetch_all(connection))
}

/// Reads the next posts by id.
pub async fn posts_after(database: &Database, id: i64) -> Result<Vec<PostRow>, Error> {
    query_with_retry!("read the posts", database, connection =>
        query_as(POSTS_AFTER).bind(id).bind(BATCH as i64).fetch_all(connection))
}

/// Finds the user with this id or name; the id takes precedence.
pub async fn user_like(database: &Database, row: &UserRow) -> Result<Option<UserRow>, Error> {
    const SQL: &str = "SELECT id, username, password FROM user WHERE id = ? OR username = ? \
         ORDER BY CASE WHEN id = ? THEN 0 ELSE 1 END LIMIT 1";
    query_with_retry!("find the user", database, connection =>
        query_as(SQL).bind(row.id).bind(&row.username).bind(row.id).fetch_optional(connection))
}

/// Finds the post with this id.
pub async fn post_like(database: &Database, id: i64) -> Result<Option<PostRow>, Error> {
    const SQL: &str =
        "SELECT id, author_id, CAST(created AS CHAR) AS created, title, body FROM post WHERE id = ?";
    query_with_retry!("find the post", database, connection => query_as(SQL).bind(id).fetch_optional(connection))
}

/// The newest post's id; 0 if no posts exist.
pub async fn last_post(database: &Database) -> Result<i64, Error> {
    let last: Option<i64> = query_with_retry!("find the newest post", database, connection =>
        query_scalar("SELECT MAX(id) FROM post").fetch_one(connection))?;
    Ok(last.unwrap_or(0))
}

/// Counts a user's posts.
pub async fn posts_of(database: &Database, user: i64) -> Result<i64, Error> {
    query_with_retry!("count the posts", database, connection =>
        query_scalar("SELECT COUNT(*) FROM post WHERE author_id = ?").bind(user).fetch_one(connection))
}

macro_rules! write_all {
    ($held:ident, $records:ident, $progress:ident) => {{
        let mut transaction = $held.connection().begin().await?;
        let mut done = 0;
        loop {
            let batch = match $records.recv().await {
                Some(Some(batch)) => batch,
                Some(None) => break,
                None => return Err(sqlx::Error::Protocol("the source of the rows ended early".into())),
            };
            for record in batch {
                match record {
                    Record::User(UserRow { id, username, password }) => {
                        let sql = "INSERT INTO user (id, username, password) VALUES (?, ?, ?)";
                        query(sql).bind(id).bind(username).bind(password).execute(&mut *transaction).await?;
                    }
                    Record::Post(PostRow { id, author_id, created, title, body }) => {
                        let sql =
                            "INSERT INTO post (id, author_id, created, title, body) VALUES (?, ?, ?, ?, ?)";
                        let insert = query(sql).bind(id).bind(author_id).bind(created).bind(title).bind(body);
                        insert.execute(&mut *transaction).await?;
                    }
                }
                done += 1;
            }
            $progress(done);
        }
        transaction.commit().await?;
        Ok::<usize, sqlx::Error>(done)
    }};
}

/// Batches of records; `None` marks their end.
pub type Batches = tokio::sync::mpsc::Receiver<Option<Vec<Record>>>;

/// Writes all records in one transaction, or none if the end mark doesn't come.
///
/// Reports the number of records after each batch.
pub async fn write_all(
    database: &Database,
    mut records: Batches,
    mut progress: impl FnMut(usize),
) -> Result<usize, Error> {
    let written = async {
        match database {
            Database::MySql(server) => {
                let mut held = server.acquire_checked().await?;
                let written = write_all!(held, records, progress);
                held.release();
                written
            }
            Database::Sqlite(file) => {
                let mut held = acquire_checked(file.pool()).await?;
                let written = write_all!(held, records, progress);
                held.release();
                written
            }
        }
    };
    written.await.map_err(|reason| Error::new("write the imported rows", reason))
}
