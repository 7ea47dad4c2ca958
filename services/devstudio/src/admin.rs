//! The way of the admin commands to a DevStudio that runs on this machine: its admin socket.

use anyhow::{anyhow, bail};
use devstudio_kit::{Fault, config::Address, fault, link};
use devstudio_proto::auth::v1::{ListUsersRequest, User, auth_service_client::AuthServiceClient};
use tonic::{Status, transport::Channel};

use crate::{lock, paths::Paths};

/// Connects to the DevStudio of a data folder.
pub async fn connect(paths: &Paths) -> anyhow::Result<Channel> {
    let socket = paths.socket("admin");
    if let Err(error) = tokio::net::UnixStream::connect(&socket).await {
        if error.kind() == std::io::ErrorKind::PermissionDenied {
            bail!(
                "{} belongs to another user: run this command as the user who runs DevStudio",
                socket.display()
            );
        }
        let data = paths.data.display();
        match lock::is_taken(&paths.data) {
            true => bail!("the DevStudio of {data} is starting or restarting: try again in a moment"),
            false => bail!(
                "no DevStudio runs with the data folder {data}: start it with `devstudio up --data-dir {data}`, or \
                 name another folder with --data-dir"
            ),
        }
    }
    link::channel(&Address::Unix(socket)).map_err(|error| anyhow!(error))
}

/// A refusal in words for people: the message, the reason's name and the facts.
pub fn explain(status: Status) -> anyhow::Error {
    let fault = Fault::from_status(&status);
    let mut text = format!("{} ({})", fault.message, fault::name(fault.reason));
    let mut details: Vec<_> = fault.details.iter().collect();
    details.sort();
    for (name, value) in details {
        text.push_str(&format!("\n  {name}: {value}"));
    }
    anyhow!(text)
}

/// The person with an address.
pub async fn person(channel: &Channel, email: &str) -> anyhow::Result<User> {
    let mut client = AuthServiceClient::new(channel.clone());
    let mut page_token = String::new();
    loop {
        let request = ListUsersRequest { query: email.to_owned(), page_size: 200, page_token };
        let page = client.list_users(request).await.map_err(explain)?.into_inner();
        if let Some(user) = page.users.into_iter().find(|user| user.email.eq_ignore_ascii_case(email)) {
            return Ok(user);
        }
        if page.next_page_token.is_empty() {
            bail!("there is nobody with the address {email}; `devstudio user list` shows everybody");
        }
        page_token = page.next_page_token;
    }
}

/// A time as people read it, or what to say where there is none.
pub fn when(at: Option<&prost_types::Timestamp>, none: &str) -> String {
    let at = at.and_then(devstudio_kit::clock::from_timestamp);
    at.map_or(none.to_owned(), |at| {
        format!(
            "{:04}-{:02}-{:02} {:02}:{:02}",
            at.year(),
            u8::from(at.month()),
            at.day(),
            at.hour(),
            at.minute()
        )
    })
}
