//! Ports on which programs of a person listen, in terminals and runs, and the names under which they are previewed.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
};

use tokio::net::TcpStream;
use uuid::Uuid;

use crate::{
    error::SandboxError, process::dialer::Dialer, run::Dispatcher, terminal::Terminals, tree::Trees,
};

/// The most names that are kept; the oldest goes for a new one.
const MOST_NAMES: usize = 10_000;
/// Letters of names, which are parts of host names: no two look alike.
const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// How many letters a name has: 120 bits of chance.
const NAME_LETTERS: usize = 24;

/// In what a program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// A terminal.
    Terminal(Uuid),
    /// A run.
    Run(Uuid),
}

/// An open port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Port {
    /// The port.
    pub port: u16,
    /// The workspace that its program sees.
    pub workspace_id: Uuid,
    /// Where its program runs.
    pub place: Place,
}

/// Finds and reaches ports. Cheap to clone.
#[derive(Clone)]
pub struct Ports(Arc<Inner>);

struct Inner {
    terminals: Terminals,
    dispatcher: Dispatcher,
    trees: Trees,
    names: Mutex<Names>,
}

#[derive(Default)]
struct Names {
    by_name: HashMap<String, Named>,
    count: u64,
}

/// A port that has a name.
#[derive(Debug, Clone, Copy)]
struct Named {
    user_id: Uuid,
    port: Port,
    number: u64,
}

impl Ports {
    /// Of these terminals and runs.
    pub fn new(terminals: Terminals, dispatcher: Dispatcher, trees: Trees) -> Self {
        Self(Arc::new(Inner { terminals, dispatcher, trees, names: Mutex::default() }))
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        self.0.names.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn places(&self, user_id: Uuid) -> Vec<(Place, Uuid, Dialer)> {
        let terminals = self.0.terminals.reachable(user_id).into_iter();
        let terminals =
            terminals.map(|(id, workspace_id, dialer)| (Place::Terminal(id), workspace_id, dialer));
        let runs = self.0.dispatcher.reachable(user_id).into_iter();
        terminals.chain(runs.map(|run| (Place::Run(run.exec_id), run.workspace_id, run.dialer))).collect()
    }

    /// The person's open ports.
    pub async fn list(&self, user_id: Uuid, workspace_id: Option<Uuid>) -> Vec<Port> {
        let places = self.places(user_id).into_iter();
        let asked = places.filter(|(_, id, _)| workspace_id.is_none_or(|wanted| wanted == *id)).map(
            |(place, workspace_id, dialer)| async move {
                let ports = dialer.ports().await.into_iter();
                ports.map(|port| Port { port, workspace_id, place }).collect::<Vec<_>>()
            },
        );
        let mut ports: Vec<Port> = futures::future::join_all(asked).await.into_iter().flatten().collect();
        ports.sort_by_key(|port| port.port);
        ports
    }

    /// Gives an open port of a workspace a name. The same port of the same program keeps its name.
    pub async fn open(
        &self,
        user_id: Uuid,
        workspace_id: Option<Uuid>,
        port: u16,
    ) -> Result<(String, Port), SandboxError> {
        let workspace_id = self.0.trees.resolve(user_id, workspace_id).await?;
        let open = self.list(user_id, Some(workspace_id)).await;
        let port = open
            .into_iter()
            .find(|open| open.port == port)
            .ok_or(SandboxError::NotFound { what: "program that listens on this port" })?;
        let mut names = self.names();
        let known = names.by_name.iter().find(|(_, named)| named.user_id == user_id && named.port == port);
        if let Some((name, _)) = known {
            return Ok((name.clone(), port));
        }
        if names.by_name.len() >= MOST_NAMES {
            let oldest = names.by_name.iter().min_by_key(|(_, named)| named.number);
            if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
                names.by_name.remove(&oldest);
            }
        }
        names.count += 1;
        let (name, number) = (new_name()?, names.count);
        names.by_name.insert(name.clone(), Named { user_id, port, number });
        Ok((name, port))
    }

    /// A connection to a port by its name, for the person to whom it was given.
    pub async fn connect(&self, user_id: Uuid, name: &str) -> Result<TcpStream, SandboxError> {
        let gone = SandboxError::NotFound { what: "preview" };
        let named = self.names().by_name.get(name).filter(|named| named.user_id == user_id).copied();
        let Some(Named { port, .. }) = named else { return Err(gone) };
        let place = self.places(user_id).into_iter().find(|(place, ..)| *place == port.place);
        match place {
            Some((.., dialer)) => dialer.dial(port.port).await,
            None => {
                self.names().by_name.remove(name);
                Err(gone)
            }
        }
    }
}

fn new_name() -> Result<String, SandboxError> {
    let mut chance = [0u8; NAME_LETTERS];
    let mut filled = 0;
    while filled < chance.len() {
        let more = rustix::rand::getrandom(&mut chance[filled..], rustix::rand::GetRandomFlags::empty());
        filled +=
            more.map_err(|error| SandboxError::Internal(format!("no chance from the system: {error}")))?;
    }
    Ok(chance.iter().map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_parts_of_host_names_and_differ() {
        let (one, two) = (new_name().expect("a name"), new_name().expect("a name"));
        assert_ne!(one, two);
        assert_eq!(one.len(), NAME_LETTERS);
        assert!(one.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()), "{one}");
    }
}
