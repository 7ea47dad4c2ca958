//! Who watches workspaces hears of each change, whichever process made it: by PostgreSQL's notifications.

use std::time::Duration;

use sqlx::postgres::PgListener;
use tokio::sync::broadcast;
use uuid::Uuid;

use crate::store::{Store, change::CHANNEL};

/// How long it waits for a database that does not answer.
const AGAIN: Duration = Duration::from_secs(1);
/// News that a slow watcher may be behind; beyond it looks by itself.
const BACKLOG: usize = 1024;

/// Where watchers ask for news. Cheap to clone.
#[derive(Clone)]
pub struct Hub(broadcast::Sender<Option<Uuid>>);

/// A watcher's ear.
pub struct Ear {
    news: broadcast::Receiver<Option<Uuid>>,
    workspace_id: Uuid,
}

impl Hub {
    /// Listens until the runtime ends.
    pub fn start(store: Store) -> Self {
        let (tell, _) = broadcast::channel(BACKLOG);
        tokio::spawn(listen(store, tell.clone()));
        Self(tell)
    }

    /// Hears what happens from now on.
    pub fn watch(&self, workspace_id: Uuid) -> Ear {
        Ear { news: self.0.subscribe(), workspace_id }
    }
}

impl Ear {
    /// Waits until the workspace may have changed.
    pub async fn news(&mut self) {
        loop {
            match self.news.recv().await {
                Ok(Some(workspace_id)) if workspace_id != self.workspace_id => {}
                // the workspace, all of them, or more news than could be kept
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => break,
                Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
            }
        }
        // one look answers all that is there by now
        while !matches!(
            self.news.try_recv(),
            Err(broadcast::error::TryRecvError::Empty | broadcast::error::TryRecvError::Closed)
        ) {}
    }
}

async fn listen(store: Store, tell: broadcast::Sender<Option<Uuid>>) {
    loop {
        if let Err(error) = listen_once(&store, &tell).await {
            tracing::debug!(%error, "changes of workspaces are not heard; tried again soon");
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn listen_once(store: &Store, tell: &broadcast::Sender<Option<Uuid>>) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(store.pool()).await?;
    listener.listen(CHANNEL).await?;
    // what happened before is not known
    let _ = tell.send(None);
    loop {
        let news = listener.try_recv().await?;
        // a lost connection is made anew, and what happened meanwhile is not known
        let _ = tell.send(news.and_then(|news| Uuid::parse_str(news.payload()).ok()));
    }
}
