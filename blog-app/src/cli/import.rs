//! `blog-app import`: imports a Flaskr database or an export.
//!
//! It keeps all ids, so that addresses stay valid.
//!
//! First it checks every row, and writes nothing if one conflicts. Then it writes all rows in one transaction.
//! An import can be repeated: rows that exist already are left unchanged.

use std::collections::HashSet;
use std::path::Path;

use anyhow::{Context, bail};
use tokio::sync::mpsc;

use super::import_source::Source;
use super::open_database::open_to_fill;
use super::progress::Progress;
use crate::cli::commands::ImportArgs;
use crate::db::Database;
use crate::html::characters::{printable, without_forbidden};
use crate::html::forms::NAME_LIMIT;
use crate::store::import_export::{self, PostRow, Record, UserRow};
use crate::store::page_cursor;

/// Largest text of a post (MySQL's `MEDIUMTEXT`), in bytes.
const LONGEST_BODY: usize = 16 * 1024 * 1024 - 1;
/// Number of problems that are listed; further ones are counted.
const LISTED: usize = 20;

/// Result of checking the source.
#[derive(Debug, Default)]
struct Findings {
    new_users: usize,
    new_posts: usize,
    present: HashSet<(bool, i64)>,
    orphans: HashSet<i64>,
    authors: HashSet<i64>,
    /// Rows from which characters are removed.
    cleaned: usize,
    problems: usize,
    listed: Vec<String>,
}

impl Findings {
    fn problem(&mut self, text: String) {
        self.problems += 1;
        if self.listed.len() < LISTED {
            self.listed.push(text);
        }
    }

    fn is_wanted(&self, record: &Record) -> bool {
        match record {
            Record::User(user) => !self.present.contains(&(true, user.id)),
            Record::Post(post) => {
                !self.present.contains(&(false, post.id)) && !self.orphans.contains(&post.id)
            }
        }
    }
}

/// Imports the file, or reports what an import would do.
pub async fn run(args: &ImportArgs) -> anyhow::Result<()> {
    // An unreadable source must not leave a new database behind.
    drop(Source::open(&args.file)?);
    let database = open_to_fill(&args.database, args.dry_run).await?;
    let findings = look(&database, &args.file).await?;
    for text in &findings.listed {
        eprintln!("{text}");
    }
    if findings.problems > 0 {
        bail!("{} rows are in the way; nothing was imported", findings.problems);
    }
    let (users, posts) = (findings.new_users, findings.new_posts);
    let (present, orphans) = (findings.present.len(), findings.orphans.len());
    if args.dry_run {
        println!("would import {users} users and {posts} posts");
    } else {
        write(&database, &args.file, &findings).await?;
        println!("imported {users} users and {posts} posts");
    }
    println!("{present} rows were there already");
    if findings.cleaned > 0 {
        println!("{} rows have characters that can't be shown; these are left out", findings.cleaned);
    }
    if orphans > 0 {
        let mut ids: Vec<i64> = findings.orphans.iter().copied().collect();
        ids.sort_unstable();
        let more = if orphans > LISTED { ", …" } else { "" };
        let named: Vec<String> = ids.iter().take(LISTED).map(i64::to_string).collect();
        println!(
            "{orphans} posts without an author, which Flaskr doesn't show, were left out: {}{more}",
            named.join(", ")
        );
    }
    database.close().await;
    Ok(())
}

async fn look(database: &Database, file: &Path) -> anyhow::Result<Findings> {
    let (mut source, mut findings) = (Source::open(file)?, Findings::default());
    let (mut progress, mut seen) = (Progress::new("checked"), 0);
    loop {
        let batch = source.batch().await?;
        if batch.is_empty() {
            return Ok(findings);
        }
        for record in batch {
            seen += 1;
            let (record, is_changed) = cleaned(record);
            findings.cleaned += usize::from(is_changed);
            match record {
                Record::User(user) => look_at_user(database, user, &mut findings).await?,
                Record::Post(post) => look_at_post(database, post, &mut findings).await?,
            }
        }
        progress.at(seen);
    }
}

/// Removes characters that no page or feed can carry.
///
/// Returns whether there were any.
fn cleaned(record: Record) -> (Record, bool) {
    let clean = |text: &str| without_forbidden(text).into_owned();
    let clean = match &record {
        Record::User(user) => Record::User(UserRow { username: clean(&user.username), ..user.clone() }),
        Record::Post(post) => Record::Post(clean_post(post)),
    };
    let is_changed = clean != record;
    (clean, is_changed)
}

fn clean_post(post: &PostRow) -> PostRow {
    let clean = |text: &str| without_forbidden(text).into_owned();
    PostRow { title: clean(&post.title), body: clean(&post.body), ..post.clone() }
}

/// Why the id can't be imported.
///
/// Addresses hold digits only, and MySQL's ids have four bytes.
fn id_problem(database: &Database, id: i64) -> Option<&'static str> {
    if id < 1 {
        return Some("its id is not positive");
    }
    let is_too_large = matches!(database, Database::MySql(_)) && id > i64::from(i32::MAX);
    is_too_large.then_some("its id is larger than the database's ids can be")
}

async fn look_at_user(database: &Database, user: UserRow, findings: &mut Findings) -> anyhow::Result<()> {
    let UserRow { id, username, .. } = &user;
    if let Some(problem) = id_problem(database, *id) {
        findings.authors.insert(*id);
        findings.problem(format!("user {id} ({}): {problem}", printable(username)));
    } else if !findings.authors.insert(*id) {
        findings.problem(format!("user {id}: the id comes twice"));
    } else if username.chars().count() > NAME_LIMIT {
        findings.problem(format!("user {id}: the name is longer than {NAME_LIMIT} characters"));
    } else {
        match import_export::user_like(database, &user).await? {
            None => findings.new_users += 1,
            Some(there) if there.id == *id && without_forbidden(&there.username) == *username => {
                findings.present.insert((true, *id));
            }
            Some(there) => findings.problem(format!(
                "user {id} ({}): the blog has user {} ({}) already",
                printable(username),
                there.id,
                printable(&there.username)
            )),
        }
    }
    Ok(())
}

async fn look_at_post(database: &Database, post: PostRow, findings: &mut Findings) -> anyhow::Result<()> {
    let id = post.id;
    if let Some(problem) = id_problem(database, id) {
        findings.problem(format!("post {id}: {problem}"));
    } else if !findings.authors.contains(&post.author_id) {
        findings.orphans.insert(id);
    } else if post.title.chars().count() > NAME_LIMIT {
        findings.problem(format!("post {id}: the title is longer than {NAME_LIMIT} characters"));
    } else if post.body.len() > LONGEST_BODY {
        findings.problem(format!("post {id}: the text is longer than {LONGEST_BODY} bytes"));
    } else if !page_cursor::is_time(&post.created.replacen(' ', "T", 1)) {
        findings.problem(format!("post {id}: {:?} is no time", post.created));
    } else {
        match import_export::post_like(database, id).await? {
            None => findings.new_posts += 1,
            Some(there) if clean_post(&there) == post => {
                findings.present.insert((false, id));
            }
            Some(_) => findings.problem(format!("post {id}: the blog has another post of this id already")),
        }
    }
    Ok(())
}

async fn write(database: &Database, file: &Path, findings: &Findings) -> anyhow::Result<()> {
    let mut source = Source::open(file)?;
    let (sender, receiver) = mpsc::channel(2);
    let reading = async move {
        loop {
            let mut batch = source.batch().await?;
            let at_end = batch.is_empty();
            batch.retain(|record| findings.is_wanted(record));
            let batch = batch.into_iter().map(|record| cleaned(record).0).collect();
            let sent = sender.send((!at_end).then_some(batch)).await;
            // If the channel is closed, the writer has failed and reports the reason itself.
            if at_end || sent.is_err() {
                return anyhow::Ok(());
            }
        }
    };
    let mut progress = Progress::new("imported");
    let writing = import_export::write_all(database, receiver, |done| progress.at(done));
    let (read, written) = tokio::join!(reading, writing);
    read.context("nothing was imported")?;
    written.context("nothing was imported")?;
    Ok(())
}
