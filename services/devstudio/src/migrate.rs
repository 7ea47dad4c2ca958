//! `devstudio migrate`: brings the database's schema up to this version. `up` does it by itself.

use anyhow::{Context as _, bail};
use devstudio_kit::db;

use crate::{lock, paths::Paths};

/// Settings of `migrate`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which database, such as postgres://user@host/devstudio.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: Option<String>,
}

/// Runs the command.
pub async fn run(args: Args, paths: &Paths) -> anyhow::Result<()> {
    let Some(url) = args.database_url else {
        if lock::is_taken(&paths.data) {
            bail!("the embedded database was migrated when DevStudio started; there is nothing to do");
        }
        bail!("name a database with --database-url; the embedded one is migrated by `devstudio up`");
    };
    db::migrate(&url).await.context("migrate the database")?;
    println!("the schema is at version {}", db::MIGRATIONS.iter().map(|one| one.version).max().unwrap_or(0));
    Ok(())
}
