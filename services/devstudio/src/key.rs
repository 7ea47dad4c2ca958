//! `devstudio key …`: API keys, with which programs call DevStudio.

use anyhow::bail;
use clap::Subcommand;
use devstudio_proto::auth::v1::{
    ApiKey, CreateApiKeyRequest, ListApiKeysRequest, RevokeApiKeyRequest,
    auth_service_client::AuthServiceClient,
};
use tonic::transport::Channel;

use crate::{
    admin::{connect, explain, person, when},
    paths::Paths,
};

/// What to do with API keys.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a key and print it, and nothing else. It is not shown again.
    Add {
        /// Whose key.
        #[arg(long)]
        email: String,
        /// A name for the key.
        #[arg(long)]
        name: String,
        /// Tokens that calls with this key may use in a calendar month; without bound when left out.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
        token_budget: Option<i64>,
    },
    /// List a person's keys.
    List {
        /// Whose keys.
        #[arg(long)]
        email: String,
    },
    /// Revoke a key for good; calls with it fail within a second.
    Revoke {
        /// Whose key.
        #[arg(long)]
        email: String,
        /// The key's name, or its beginning as `key list` shows it.
        #[arg(long)]
        name: String,
    },
}

/// Runs a command.
pub async fn run(command: Command, paths: &Paths) -> anyhow::Result<()> {
    let channel = connect(paths).await?;
    match command {
        Command::Add { email, name, token_budget } => add(&channel, &email, name, token_budget).await,
        Command::List { email } => list(&channel, &email).await,
        Command::Revoke { email, name } => revoke(&channel, &email, &name).await,
    }
}

async fn add(channel: &Channel, email: &str, name: String, token_budget: Option<i64>) -> anyhow::Result<()> {
    let user_id = person(channel, email).await?.user_id;
    let request = CreateApiKeyRequest { name, token_budget, expires_at: None, user_id };
    let answer = AuthServiceClient::new(channel.clone()).create_api_key(request).await.map_err(explain)?;
    println!("{}", answer.into_inner().key);
    Ok(())
}

async fn list(channel: &Channel, email: &str) -> anyhow::Result<()> {
    println!("{:<24} {:<20} {:<9} {:<18} last used (UTC)", "name", "key", "state", "made (UTC)");
    for key in keys(channel, email).await? {
        println!(
            "{:<24} {:<20} {:<9} {:<18} {}",
            key.name,
            format!("{}…{}", key.prefix, key.last_four),
            if key.revoked_at.is_some() { "revoked" } else { "active" },
            when(key.created_at.as_ref(), ""),
            when(key.last_used_at.as_ref(), "never"),
        );
    }
    Ok(())
}

async fn revoke(channel: &Channel, email: &str, name: &str) -> anyhow::Result<()> {
    let keys = keys(channel, email).await?;
    let fits = |key: &&ApiKey| key.revoked_at.is_none() && (key.name == name || key.prefix == name);
    let Some(key) = keys.iter().find(fits) else {
        bail!("{email} has no active key {name}; `devstudio key list --email {email}` shows all");
    };
    let request = RevokeApiKeyRequest { key_id: key.key_id.clone() };
    AuthServiceClient::new(channel.clone()).revoke_api_key(request).await.map_err(explain)?;
    println!("revoked {}", key.name);
    Ok(())
}

async fn keys(channel: &Channel, email: &str) -> anyhow::Result<Vec<ApiKey>> {
    let user_id = person(channel, email).await?.user_id;
    let request = ListApiKeysRequest { user_id };
    let answer = AuthServiceClient::new(channel.clone()).list_api_keys(request).await.map_err(explain)?;
    Ok(answer.into_inner().api_keys)
}
