//! `blog-app user …`: creates, lists and disables users, and changes passwords.
//!
//! A disabled user's hash begins with a mark that no hash has, as in `/etc/shadow`. No password matches it, and every
//! session ends. Enabling the user restores the old password. This works on the original's tables too.

use std::io::{IsTerminal, Write};

use anyhow::{Context, bail};

use super::open_database::open;
use crate::cli::commands::{UserArgs, UserCommand};
use crate::db::Database;
use crate::html::characters::printable;
use crate::html::forms::{self, Login};
use crate::security::name_index::NameIndex;
use crate::security::password::Passwords;
use crate::store::users::{self, Credentials};
use crate::store::{self, import_export};

/// Prefix of a disabled user's hash.
const DISABLED: char = '!';

/// Runs the subcommand.
pub async fn run(args: &UserArgs) -> anyhow::Result<()> {
    let database = open(&args.database).await?;
    match &args.command {
        UserCommand::Add { name } => add(&database, name).await?,
        UserCommand::List => list(&database).await?,
        UserCommand::SetPassword { name } => set_password(&database, name).await?,
        UserCommand::Disable { name } => disable(&database, name, true).await?,
        UserCommand::Enable { name } => disable(&database, name, false).await?,
    }
    database.close().await;
    Ok(())
}

async fn add(database: &Database, name: &str) -> anyhow::Result<()> {
    let login = Login { username: name.to_owned(), password: read_password()? }.for_registration();
    if let Some(problem) = login.registration_problem() {
        bail!("{problem}");
    }
    let name = login.username.as_str();
    if let Some(similar) =
        NameIndex::default().similar(database, name).await?.filter(|similar| similar != name)
    {
        bail!("{} It is {}.", forms::SIMILAR_NAME, printable(&similar));
    }
    let hash = Passwords::new(1).hash(login.password).await?;
    match users::insert(database, name, &hash).await {
        Err(store::Error::NameTaken { .. }) => bail!("User {name} is already registered."),
        Err(error) => return Err(error.into()),
        Ok(()) => println!("added {name}"),
    }
    Ok(())
}

async fn list(database: &Database) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{:>8}  {:>8}  {:<8}  NAME", "ID", "POSTS", "STATE")?;
    let mut after = import_export::BEFORE_ALL;
    loop {
        let batch = import_export::users_after(database, after).await?;
        let Some(last) = batch.last() else { return Ok(()) };
        after = last.id;
        for user in batch {
            let posts = import_export::posts_of(database, user.id).await?;
            let state = if user.password.starts_with(DISABLED) { "disabled" } else { "active" };
            writeln!(out, "{:>8}  {posts:>8}  {state:<8}  {}", user.id, printable(&user.username))?;
        }
    }
}

async fn set_password(database: &Database, name: &str) -> anyhow::Result<()> {
    let user = find(database, name).await?;
    let password = read_password()?;
    if let Some(problem) = forms::password_problem(&password) {
        bail!("{problem}");
    }
    let hash = Passwords::new(1).hash(password).await?;
    let hash = if user.hash.starts_with(DISABLED) { format!("{DISABLED}{hash}") } else { hash };
    replace(database, &user, &hash).await?;
    println!("changed the password of {name}; all sessions of this user have ended");
    Ok(())
}

async fn disable(database: &Database, name: &str, wanted: bool) -> anyhow::Result<()> {
    let user = find(database, name).await?;
    let bare = user.hash.trim_start_matches(DISABLED);
    let hash = if wanted { format!("{DISABLED}{bare}") } else { bare.to_owned() };
    if hash != user.hash {
        replace(database, &user, &hash).await?;
    }
    println!("{name} is {}", if wanted { "disabled" } else { "enabled" });
    Ok(())
}

async fn find(database: &Database, name: &str) -> anyhow::Result<Credentials> {
    users::find_by_name(database, name).await?.with_context(|| format!("user {name} doesn't exist"))
}

async fn replace(database: &Database, user: &Credentials, hash: &str) -> anyhow::Result<()> {
    if !users::replace_hash(database, user.user.id, &user.hash, hash).await? {
        bail!("{} was changed by another process at the same time; try again", user.user.name);
    }
    Ok(())
}

/// Reads a password: twice from a terminal without echo, else once.
///
/// Never from the command line, which every user of the machine can see.
fn read_password() -> anyhow::Result<String> {
    if !std::io::stdin().is_terminal() {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).context("failed to read the password from standard input")?;
        return Ok(line.trim_end_matches(['\r', '\n']).to_owned());
    }
    let ask = |prompt| rpassword::prompt_password(prompt).context("failed to read the password");
    let password = ask("Password: ")?;
    if ask("The same again: ")? != password {
        bail!("the two passwords differ");
    }
    Ok(password)
}
