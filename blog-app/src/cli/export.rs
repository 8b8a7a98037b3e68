//! `blog-app export`: writes everything as JSON lines.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use serde_json::ser::Formatter;

use super::open_database::open;
use super::progress::Progress;
use crate::cli::commands::ExportArgs;
use crate::html::characters::is_forbidden;
use crate::store::import_export::{self, Record};

/// Version of the format.
pub const FORMAT: u32 = 1;

/// First line of an export.
#[derive(Debug, Serialize, Deserialize)]
pub struct Header {
    /// Version of the format.
    pub flaskblog_export: u32,
}

/// Counts in the last line; without it the file is incomplete.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trailer {
    /// Number of users before this line.
    pub users: usize,
    /// Number of posts before this line.
    pub posts: usize,
}

impl std::fmt::Display for Trailer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} users and {} posts", self.users, self.posts)
    }
}

/// Last line of an export.
#[derive(Debug, Serialize, Deserialize)]
pub struct End {
    /// The counts.
    pub end: Trailer,
}

/// Writes the export to the file or to standard output.
pub async fn run(args: &ExportArgs) -> anyhow::Result<()> {
    let database = open(&args.database).await?;
    let mut out = output(args.file.as_deref())?;
    let mut progress = Progress::new("exported");
    line(&mut out, &Header { flaskblog_export: FORMAT })?;
    let (mut users, mut posts, mut after) = (0, 0, import_export::BEFORE_ALL);
    // Read before the users: a user may register meanwhile, and no post may come without its author.
    let last_post = import_export::last_post(&database).await?;
    loop {
        let batch = import_export::users_after(&database, after).await?;
        let Some(last) = batch.last() else { break };
        after = last.id;
        users += batch.len();
        batch.into_iter().try_for_each(|user| line(&mut out, &Record::User(user)))?;
        progress.at(users);
    }
    after = import_export::BEFORE_ALL;
    'posts: loop {
        let batch = import_export::posts_after(&database, after).await?;
        let Some(last) = batch.last() else { break };
        after = last.id;
        for post in batch {
            if post.id > last_post {
                break 'posts;
            }
            posts += 1;
            line(&mut out, &Record::Post(post))?;
        }
        progress.at(users + posts);
    }
    line(&mut out, &End { end: Trailer { users, posts } })?;
    out.flush().context("failed to write the export")?;
    eprintln!("exported {users} users and {posts} posts");
    database.close().await;
    Ok(())
}

/// Escapes characters that terminals act on, since an export can go to one.
///
/// JSON itself may hold any character above U+001F unescaped.
struct TerminalSafe;

impl Formatter for TerminalSafe {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        out: &mut W,
        fragment: &str,
    ) -> std::io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(is_forbidden) {
            out.write_all(&rest.as_bytes()[..at])?;
            let mut left = rest[at..].chars();
            // All of them are in the basic plane, so one escape is enough.
            write!(out, "\\u{:04x}", left.next().map_or(0, u32::from))?;
            rest = left.as_str();
        }
        out.write_all(rest.as_bytes())
    }
}

/// Opens the output.
///
/// An existing file may be the only copy of data, so it is never overwritten.
fn output(file: Option<&Path>) -> anyhow::Result<Box<dyn Write>> {
    match file.filter(|file| file.as_os_str() != "-") {
        None => Ok(Box::new(BufWriter::new(std::io::stdout().lock()))),
        Some(path) => {
            let file =
                File::create_new(path).with_context(|| format!("failed to create {}", path.display()))?;
            Ok(Box::new(BufWriter::new(file)))
        }
    }
}

fn line(out: &mut impl Write, value: &impl Serialize) -> anyhow::Result<()> {
    let mut serializer = serde_json::Serializer::with_formatter(&mut *out, TerminalSafe);
    value.serialize(&mut serializer).context("failed to write the export")?;
    out.write_all(b"\n").context("failed to write the export")
}
