//! `blog-app discard-previous-password`, the end of a rotation.

use anyhow::bail;

use super::commands::DiscardArgs;
use crate::config::{DatabaseConfig, process_env};
use crate::db::Database;
use crate::store::mysql_account;

/// Discards the previous password of the account in MySQL.
pub async fn run(args: &DiscardArgs) -> anyhow::Result<()> {
    let config = DatabaseConfig::resolve(&args.database, &process_env)?;
    let Database::MySql(server) = Database::lazy(&config) else { bail!(mysql_account::Error::NoServer) };
    mysql_account::discard_previous(&server).await?;
    tracing::info!("discarded the previous password");
    Ok(())
}
