//! One who is attached to a terminal: what they do, and what they are told.

use std::sync::Arc;

use bytes::Bytes;
use devstudio_kit::clock::Clock;
use tokio::sync::watch;

use super::{Aside, Ended, Seen, Shared, keeper, ring::Piece};

/// One who is attached. Dropping it leaves the terminal as it is.
pub struct Reader {
    pub(super) shared: Arc<Shared>,
    pub(super) id: u64,
    pub(super) clock: Clock,
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut readers = self.shared.readers();
        readers.shown.remove(&self.id);
        readers.alone_since = self.clock.now();
        drop(readers);
        self.shared.moved.notify_waiters();
    }
}

impl Reader {
    /// Types. Waits while the program does not read.
    pub async fn write(&self, input: Bytes) {
        // A terminal that has ended reads no more.
        let _ = self.shared.typed.send(input).await;
    }

    /// Gives the screen another size.
    pub fn resize(&self, columns: u16, rows: u16) {
        self.shared.readers().size = (columns, rows);
        if let Some(pty) = &*self.shared.pty() {
            keeper::resize(pty, columns, rows);
        }
    }

    /// Tells up to where the output is on the screen.
    pub fn shown(&self, offset: u64) {
        if let Some(window) = self.shared.readers().shown.get_mut(&self.id) {
            window.shown = window.shown.max(offset);
        }
        self.shared.moved.notify_waiters();
    }
}

/// Somebody attached, and what they are told.
pub struct Attached {
    /// What they do.
    pub reader: Reader,
    /// The terminal as they found it.
    pub seen: Seen,
    /// The offset of the output that follows.
    pub at: u64,
    /// Bytes before it that were asked for and are not kept.
    pub lost: u64,
    pub(super) window_bytes: u64,
    pub(super) asides: watch::Receiver<Aside>,
    pub(super) told: Aside,
}

/// What somebody who is attached is told.
#[derive(Debug)]
pub enum Told {
    /// Output.
    Output(Piece),
    /// Files came to the workspace.
    Synced(Arc<crate::tree::Synced>),
    /// The open ports.
    Ports(Vec<u16>),
    /// The output waits for its readers, or no more.
    Throttled(bool),
    /// The end, after all output.
    Ended(Ended),
}

/// The listening half of somebody who is attached.
pub struct Ears {
    shared: Arc<Shared>,
    id: u64,
    at: u64,
    window_bytes: u64,
    asides: watch::Receiver<Aside>,
    told: Aside,
}

impl Attached {
    /// Takes the two halves apart.
    pub fn split(self) -> (Reader, Ears) {
        let Self { reader, at, window_bytes, asides, told, .. } = self;
        let (shared, id) = (reader.shared.clone(), reader.id);
        (reader, Ears { shared, id, at, window_bytes, asides, told })
    }
}

impl Ears {
    /// What is told next. Nothing after the end.
    pub async fn next(&mut self) -> Option<Told> {
        loop {
            if self.told.ended.is_some() {
                return None;
            }
            let news = self.asides.borrow_and_update().clone();
            if news.throttled != self.told.throttled {
                self.told.throttled = news.throttled;
                return Some(Told::Throttled(news.throttled));
            }
            if news.synced.0 != self.told.synced.0 {
                self.told.synced = news.synced.clone();
                return Some(Told::Synced(news.synced.1));
            }
            if news.ports != self.told.ports {
                self.told.ports.clone_from(&news.ports);
                return Some(Told::Ports(news.ports));
            }
            let moved = self.shared.moved.notified();
            let room = match self.window_bytes {
                0 => u64::MAX,
                bytes => {
                    let shown =
                        self.shared.readers().shown.get(&self.id).map_or(self.at, |window| window.shown);
                    bytes.saturating_sub(self.at.saturating_sub(shown))
                }
            };
            let grown = self.shared.ring.grown(self.at);
            if room > 0
                && let Some(piece) = self.shared.ring.read(self.at, room)
            {
                self.at = piece.offset + piece.data.len() as u64;
                if self.window_bytes == 0 {
                    // What the connection took counts as shown.
                    if let Some(window) = self.shared.readers().shown.get_mut(&self.id) {
                        window.shown = self.at;
                    }
                    self.shared.moved.notify_waiters();
                }
                return Some(Told::Output(piece));
            }
            if let Some(ended) = news.ended
                && self.shared.ring.bounds().0 <= self.at
            {
                self.told.ended = Some(ended);
                return Some(Told::Ended(ended));
            }
            tokio::select! {
                () = grown, if room > 0 => {}
                () = moved, if room == 0 => {}
                changed = self.asides.changed() => if changed.is_err() { return None },
            }
        }
    }
}
