//! SQL of what processes tell each other: LISTEN and NOTIFY. A notice goes out with the commit of its transaction.

use sqlx::{
    PgExecutor,
    postgres::{PgListener, PgPoolOptions},
};
use uuid::Uuid;

use super::Store;
use crate::{Error, notices::Notice};

const CHANNEL: &str = "devstudio_agent";
/// PostgreSQL takes payloads of under 8,000 bytes; a live one is written in hexadecimal.
const MOST_LIVE_BYTES: usize = 3_900;

/// A connection of its own that hears notices.
pub struct Listener(PgListener);

impl Store {
    /// Begins to listen, on a connection that is not taken from the others.
    pub async fn listen(&self) -> Result<Listener, Error> {
        let options = (*self.pool.connect_options()).clone();
        let own = PgPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
        let mut listener = PgListener::connect_with(&own.connect_with(options).await?).await?;
        listener.ignore_pool_close_event(true);
        listener.eager_reconnect(false);
        listener.listen(CHANNEL).await?;
        Ok(Listener(listener))
    }

    /// Tells how far a model is, to whoever watches.
    pub async fn tell_live(&self, task_id: Uuid, event: &[u8]) -> Result<(), Error> {
        match event.len() {
            0..=MOST_LIVE_BYTES => tell(&self.pool, &format!("live {task_id} {}", hex::encode(event))).await,
            _ => Ok(()),
        }
    }
}

impl Listener {
    /// The next notice. Fails when the connection was lost, since notices may be lost with it.
    pub async fn next(&mut self) -> Result<Option<Notice>, Error> {
        match self.0.try_recv().await? {
            Some(notification) => Ok(read(notification.payload())),
            None => Err(sqlx::Error::WorkerCrashed.into()),
        }
    }
}

/// Tells everybody, with the commit where it is in a transaction.
pub(super) async fn tell(executor: impl PgExecutor<'_>, notice: &str) -> Result<(), Error> {
    sqlx::query("select pg_notify($1, $2)").bind(CHANNEL).bind(notice).execute(executor).await?;
    Ok(())
}

fn read(text: &str) -> Option<Notice> {
    let words: Vec<&str> = text.split(' ').collect();
    match words[..] {
        ["queued"] => Some(Notice::Queued),
        ["task", id] => Some(Notice::Task(id.parse().ok()?)),
        ["cancel", id] => Some(Notice::Cancel(id.parse().ok()?)),
        ["live", id, event] => Some(Notice::Live(id.parse().ok()?, hex::decode(event).ok()?)),
        _ => None,
    }
}
