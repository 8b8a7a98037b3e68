//! Source of an import: a Flaskr database on SQLite, or an export.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use anyhow::{Context, bail, ensure};

use super::export::{End, FORMAT, Header, Trailer};
use crate::db::Database;
use crate::store::import_export::{self, BATCH, Record};

/// Longest line that is read, in bytes of JSON.
const LONGEST_LINE: u64 = 64 * 1024 * 1024;
const SQLITE_MAGIC: &[u8] = b"SQLite format 3\0";

/// Reads rows in batches, users first.
pub enum Source {
    /// Lines of an export.
    Lines(Lines),
    /// A database, and the position of the next batch.
    Tables(Database, Position),
}

/// Position in a database.
#[derive(Clone, Copy)]
pub enum Position {
    /// After the user with this id.
    Users(i64),
    /// After the post with this id.
    Posts(i64),
}

/// Reader of an export.
pub struct Lines {
    reader: BufReader<File>,
    number: usize,
    seen: Trailer,
    ended: bool,
}

impl Source {
    /// Opens the file and detects its kind.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let describe = || format!("failed to read {}", path.display());
        let mut file = File::open(path).with_context(describe)?;
        let mut magic = [0; SQLITE_MAGIC.len()];
        let is_sqlite = file.read_exact(&mut magic).is_ok() && magic == SQLITE_MAGIC;
        if is_sqlite {
            return Ok(Self::Tables(Database::read_only(path), Position::Users(import_export::BEFORE_ALL)));
        }
        let mut lines = Lines {
            reader: BufReader::new(File::open(path).with_context(describe)?),
            number: 0,
            seen: Trailer { users: 0, posts: 0 },
            ended: false,
        };
        let first = lines.line()?.unwrap_or_default();
        let Ok(Header { flaskblog_export }) = serde_json::from_str(&first) else {
            bail!("{} is neither a SQLite database nor an export of this program", path.display());
        };
        ensure!(
            flaskblog_export <= FORMAT,
            "the export has format {flaskblog_export}, this program knows {FORMAT}"
        );
        Ok(Self::Lines(lines))
    }

    /// Reads the next rows; none at the end.
    pub async fn batch(&mut self) -> anyhow::Result<Vec<Record>> {
        match self {
            Self::Lines(lines) => lines.batch(),
            Self::Tables(database, position) => tables(database, position).await,
        }
    }
}

async fn tables(database: &Database, position: &mut Position) -> anyhow::Result<Vec<Record>> {
    if let Position::Users(after) = *position {
        let users = import_export::users_after(database, after).await?;
        if let Some(last) = users.last() {
            *position = Position::Users(last.id);
            return Ok(users.into_iter().map(Record::User).collect());
        }
        *position = Position::Posts(import_export::BEFORE_ALL);
    }
    let Position::Posts(after) = *position else { return Ok(Vec::new()) };
    let posts = import_export::posts_after(database, after).await?;
    if let Some(last) = posts.last() {
        *position = Position::Posts(last.id);
    }
    Ok(posts.into_iter().map(Record::Post).collect())
}

impl Lines {
    fn line(&mut self) -> anyhow::Result<Option<String>> {
        let mut text = String::new();
        let mut bounded = (&mut self.reader).take(LONGEST_LINE);
        let length = bounded.read_line(&mut text).context("failed to read the export")?;
        self.number += 1;
        ensure!(
            length == 0 || text.ends_with('\n'),
            "line {} of the export is cut off or too long",
            self.number
        );
        Ok((length > 0).then_some(text))
    }

    fn batch(&mut self) -> anyhow::Result<Vec<Record>> {
        let mut records = Vec::new();
        while records.len() < BATCH && !self.ended {
            let Some(text) = self.line()? else {
                bail!("the export is cut off: its last line is missing");
            };
            if let Ok(End { end }) = serde_json::from_str(&text) {
                ensure!(
                    end == self.seen,
                    "the export is incomplete: it should hold {end} and holds {}",
                    self.seen
                );
                self.ended = true;
                break;
            }
            let number = self.number;
            let record = serde_json::from_str(&text)
                .with_context(|| format!("failed to read line {number} of the export"))?;
            match record {
                Record::User(_) => self.seen.users += 1,
                Record::Post(_) => self.seen.posts += 1,
            }
            records.push(record);
        }
        Ok(records)
    }
}
