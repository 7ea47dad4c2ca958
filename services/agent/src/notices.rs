//! Hears what processes tell each other through the database about tasks, and passes it on in this process.

use std::time::Duration;

use tokio::{sync::broadcast, task::AbortHandle, time::sleep};
use uuid::Uuid;

use crate::store::Store;

const PAUSE: Duration = Duration::from_millis(200);
/// Notices that a listener may be behind; one that is slower looks for itself.
const BEHIND: usize = 4096;

/// What is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A task waits for a worker.
    Queued,
    /// Something happened in a task.
    Task(Uuid),
    /// A task is to be cancelled.
    Cancel(Uuid),
    /// How far a model is; not kept.
    Live(Uuid, Vec<u8>),
    /// Something may have been missed.
    Lost,
}

/// The ears of this process.
pub struct Notices {
    heard: broadcast::Sender<Notice>,
    task: AbortHandle,
}

impl Notices {
    /// Begins to listen; ends when dropped.
    pub fn start(store: Store) -> Self {
        let (heard, _) = broadcast::channel(BEHIND);
        let task = tokio::spawn(listen(store, heard.clone())).abort_handle();
        Self { heard, task }
    }

    /// Notices from now on.
    pub fn heard(&self) -> broadcast::Receiver<Notice> {
        self.heard.subscribe()
    }
}

impl Drop for Notices {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen(store: Store, heard: broadcast::Sender<Notice>) {
    loop {
        if let Ok(mut listener) = store.listen().await {
            // What was told while nobody listened was missed.
            let _ = heard.send(Notice::Lost);
            while let Ok(notice) = listener.next().await {
                if let Some(notice) = notice {
                    let _ = heard.send(notice);
                }
            }
        }
        let _ = heard.send(Notice::Lost);
        sleep(PAUSE).await;
    }
}
