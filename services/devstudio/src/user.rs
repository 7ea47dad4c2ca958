//! `devstudio user …`: people, their roles and their monthly limits.

use std::io::{BufRead as _, stdin};

use anyhow::Context as _;
use clap::{Subcommand, ValueEnum};
use devstudio_proto::{
    auth::v1::{
        CreateUserRequest, ListUsersRequest, Role as ProtoRole, UpdateUserRequest,
        auth_service_client::AuthServiceClient,
    },
    billing::v1::{Scope, SetLimitRequest, billing_service_client::BillingServiceClient},
};
use tonic::transport::Channel;

use crate::{
    admin::{connect, explain, person, when},
    paths::Paths,
};

/// What to do with people.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Add a person. The password is read from standard input, 8 to 72 bytes, so that it stands in no history.
    Add {
        /// The address to sign in with.
        #[arg(long)]
        email: String,
        /// What the person may do.
        #[arg(long, value_enum)]
        role: Role,
        /// Read the password from the first line of standard input.
        #[arg(long, required = true)]
        password_stdin: bool,
        /// The name to show.
        #[arg(long, default_value = "")]
        name: String,
    },
    /// Set how many tokens a person may use in a calendar month.
    Limit {
        /// Whose limit.
        #[arg(long)]
        email: String,
        /// The limit in tokens.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
        monthly_tokens: i64,
    },
    /// List everybody.
    List,
    /// Block a person: sessions, keys and open streams end within a second.
    Block {
        /// Whom to block.
        #[arg(long)]
        email: String,
    },
    /// Let a blocked person in again.
    Unblock {
        /// Whom to let in.
        #[arg(long)]
        email: String,
    },
}

/// Roles by their names.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Role {
    /// Manages people, models and budgets as well.
    Admin,
    /// Works in workspaces of their own.
    #[value(alias = "user")]
    Dev,
}

/// Runs a command.
pub async fn run(command: Command, paths: &Paths) -> anyhow::Result<()> {
    let channel = connect(paths).await?;
    match command {
        Command::Add { email, role, password_stdin: _, name } => add(&channel, email, role, name).await,
        Command::Limit { email, monthly_tokens } => limit(&channel, &email, monthly_tokens).await,
        Command::List => list(&channel).await,
        Command::Block { email } => set_disabled(&channel, &email, true).await,
        Command::Unblock { email } => set_disabled(&channel, &email, false).await,
    }
}

async fn add(channel: &Channel, email: String, role: Role, display_name: String) -> anyhow::Result<()> {
    let mut password = String::new();
    stdin().lock().read_line(&mut password).context("read the password from standard input")?;
    let password = password.trim_end_matches(['\r', '\n']).to_owned();
    anyhow::ensure!(!password.is_empty(), "standard input has no password in its first line");
    let role = match role {
        Role::Admin => ProtoRole::Admin,
        Role::Dev => ProtoRole::Dev,
    };
    let request = CreateUserRequest { email, password, role: role.into(), display_name };
    let answer = AuthServiceClient::new(channel.clone()).create_user(request).await.map_err(explain)?;
    let user = answer.into_inner().user.unwrap_or_default();
    println!("added {} ({})", user.email, devstudio_kit::identity::role_name(user.role()));
    Ok(())
}

async fn limit(channel: &Channel, email: &str, monthly_tokens: i64) -> anyhow::Result<()> {
    let user = person(channel, email).await?;
    let request = SetLimitRequest {
        scope: Scope::User.into(),
        subject_id: user.user_id,
        monthly_limit: Some(monthly_tokens),
    };
    BillingServiceClient::new(channel.clone()).set_limit(request).await.map_err(explain)?;
    println!("{} may use {monthly_tokens} tokens a month", user.email);
    Ok(())
}

async fn list(channel: &Channel) -> anyhow::Result<()> {
    let mut client = AuthServiceClient::new(channel.clone());
    let mut page_token = String::new();
    println!("{:<40} {:<6} {:<9} last sign-in (UTC)", "e-mail", "role", "state");
    loop {
        let request = ListUsersRequest { query: String::new(), page_size: 200, page_token };
        let page = client.list_users(request).await.map_err(explain)?.into_inner();
        for user in &page.users {
            let role = devstudio_kit::identity::role_name(user.role());
            let state = if user.disabled_at.is_some() { "blocked" } else { "active" };
            println!(
                "{:<40} {role:<6} {state:<9} {}",
                user.email,
                when(user.last_login_at.as_ref(), "never")
            );
        }
        if page.next_page_token.is_empty() {
            return Ok(());
        }
        page_token = page.next_page_token;
    }
}

async fn set_disabled(channel: &Channel, email: &str, disabled: bool) -> anyhow::Result<()> {
    let user = person(channel, email).await?;
    let request =
        UpdateUserRequest { user_id: user.user_id, disabled: Some(disabled), ..UpdateUserRequest::default() };
    AuthServiceClient::new(channel.clone()).update_user(request).await.map_err(explain)?;
    println!("{} {}", if disabled { "blocked" } else { "unblocked" }, user.email);
    Ok(())
}
