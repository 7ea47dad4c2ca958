//! Hears what other processes (and this one) tell through the database, and passes it on in this process. As long as
//! the connection proves every 250 ms that it lives, there is a beat; when it is lost, everybody is told, since
//! something may have been missed.

use std::time::Duration;

use tokio::{
    sync::{broadcast, watch},
    task::AbortHandle,
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use uuid::Uuid;

use crate::{
    Error,
    store::{Listener, Notice, Store},
};

/// How often there is a beat.
pub(crate) const BEAT: Duration = Duration::from_millis(250);
/// How long the database may take to answer before the connection counts as lost.
const PATIENCE: Duration = Duration::from_millis(500);
const CONNECT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(200);
/// Signals that a watcher may be behind; one that is slower starts anew.
const BEHIND: usize = 1024;

/// What watchers of revocations hear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    /// Everything that was committed until now has been told.
    Beat,
    /// Access tokens of a person below a version are invalid.
    User {
        /// The person.
        id: Uuid,
        /// The lowest version that is valid.
        version: i32,
        /// The person is blocked.
        disabled: bool,
    },
    /// An API key was revoked.
    Key(Uuid),
    /// Something may have been missed.
    Lost,
}

/// The ears of this process.
pub(crate) struct Notices {
    signals: broadcast::Sender<Signal>,
    healthy: watch::Receiver<bool>,
    log_head: watch::Receiver<i64>,
    task: AbortHandle,
}

struct Ear {
    store: Store,
    signals: broadcast::Sender<Signal>,
    healthy: watch::Sender<bool>,
    log_head: watch::Sender<i64>,
}

impl Notices {
    /// Begins to listen; ends when dropped.
    pub fn start(store: Store) -> Self {
        let (signals, _) = broadcast::channel(BEHIND);
        let (healthy, is_healthy) = watch::channel(false);
        let (log_head, heard_head) = watch::channel(0);
        let ear = Ear { store, signals: signals.clone(), healthy, log_head };
        let task = tokio::spawn(ear.listen()).abort_handle();
        Self { signals, healthy: is_healthy, log_head: heard_head, task }
    }

    /// Signals from now on.
    pub fn signals(&self) -> broadcast::Receiver<Signal> {
        self.signals.subscribe()
    }

    /// Has the connection proved a moment ago that it lives?
    pub fn healthy(&self) -> watch::Receiver<bool> {
        self.healthy.clone()
    }

    /// The number of the newest entry of the log.
    pub fn log_head(&self) -> watch::Receiver<i64> {
        self.log_head.clone()
    }
}

impl Drop for Notices {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Ear {
    async fn listen(self) {
        let mut told = false;
        loop {
            let lost = match timeout(CONNECT, self.store.listen()).await {
                Ok(Ok(listener)) => {
                    told = false;
                    self.follow(listener).await
                }
                Ok(Err(error)) => error,
                Err(_) => Error::Blind,
            };
            self.healthy.send_replace(false);
            let _ = self.signals.send(Signal::Lost);
            if !told {
                tracing::warn!(error = %lost, "the database tells of no changes; trying again");
                told = true;
            }
            sleep(PAUSE).await;
        }
    }

    /// Passes notices on until the connection is lost; tells why it was.
    async fn follow(&self, mut listener: Listener) -> Error {
        // what came before the ear was open
        match self.store.log_head().await {
            Ok(head) => drop(self.log_head.send_replace(head)),
            Err(error) => return error,
        }
        let mut beats = interval(BEAT);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                notice = listener.next() => match notice {
                    Ok(notice) => notice.into_iter().for_each(|notice| self.pass(notice)),
                    Err(error) => return error,
                },
                _ = beats.tick() => {
                    match timeout(PATIENCE, listener.ping()).await {
                        Ok(Ok(())) => {}
                        Ok(Err(error)) => return error,
                        Err(_) => return Error::Blind,
                    }
                    while let Some(notice) = listener.waiting() {
                        self.pass(notice);
                    }
                    self.healthy.send_replace(true);
                    let _ = self.signals.send(Signal::Beat);
                }
            }
        }
    }

    fn pass(&self, notice: Notice) {
        let signal = match notice {
            Notice::User { id, version, disabled } => Signal::User { id, version, disabled },
            Notice::Key(id) => Signal::Key(id),
            Notice::Log(head) => {
                self.log_head.send_if_modified(|known| {
                    let newer = head > *known;
                    *known = head.max(*known);
                    newer
                });
                return;
            }
        };
        let _ = self.signals.send(signal);
    }
}
