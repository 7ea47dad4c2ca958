//! What a terminal wrote, the last of it, by offsets that count from its beginning.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard},
};

use bytes::Bytes;
use tokio::sync::watch;

/// The most bytes that are read at once.
const PIECE_BYTES: u64 = 32 * 1024;

/// A piece of a terminal's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The offset of its first byte.
    pub offset: u64,
    /// What.
    pub data: Bytes,
}

/// The ring.
pub struct Ring {
    kept: Mutex<VecDeque<u8>>,
    capacity: usize,
    /// How many bytes were written at all.
    written: watch::Sender<u64>,
}

impl Ring {
    /// An empty one for so many bytes.
    pub fn new(capacity: usize) -> Self {
        Self { kept: Mutex::default(), capacity: capacity.max(1), written: watch::Sender::new(0) }
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<u8>> {
        self.kept.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// How many bytes it keeps at most.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// How many bytes were written, and the offset of the first that is kept.
    pub fn bounds(&self) -> (u64, u64) {
        let kept = self.kept();
        let written = *self.written.borrow();
        (written, written - kept.len() as u64)
    }

    /// Writes. The oldest goes where there is no room.
    pub fn write(&self, data: &[u8]) {
        let mut kept = self.kept();
        let fitting = &data[data.len().saturating_sub(self.capacity)..];
        let over = (kept.len() + fitting.len()).saturating_sub(self.capacity);
        kept.drain(..over);
        kept.extend(fitting);
        // Within the lock, so that both always fit together.
        self.written.send_modify(|written| *written += data.len() as u64);
    }

    /// At most so many bytes from an offset on; from the first that is kept, where that one is gone. Nothing where
    /// there is nothing.
    pub fn read(&self, from: u64, most: u64) -> Option<Piece> {
        let kept = self.kept();
        let written = *self.written.borrow();
        let first = written - kept.len() as u64;
        let offset = from.max(first);
        let length = written.saturating_sub(offset).min(most).min(PIECE_BYTES) as usize;
        if length == 0 {
            return None;
        }
        let start = (offset - first) as usize;
        let data: Vec<u8> = kept.range(start..start + length).copied().collect();
        Some(Piece { offset, data: data.into() })
    }

    /// Waits until there is something beyond an offset.
    pub fn grown(&self, beyond: u64) -> impl Future<Output = ()> + Send + 'static {
        let mut written = self.written.subscribe();
        async move {
            // The sender lives as long as whoever waits.
            let _ = written.wait_for(|written| *written > beyond).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(piece: Option<Piece>) -> (u64, String) {
        let text = |piece: Piece| (piece.offset, String::from_utf8_lossy(&piece.data).into_owned());
        piece.map_or((0, String::new()), text)
    }

    #[test]
    fn what_was_written_is_read_by_its_offset() {
        let ring = Ring::new(10);
        ring.write(b"hello");
        assert_eq!(text(ring.read(0, 100)), (0, "hello".to_owned()));
        assert_eq!(text(ring.read(3, 1)), (3, "l".to_owned()));
        assert_eq!(ring.read(5, 100), None);
        assert_eq!(ring.read(9, 100), None, "nobody reads ahead");
    }

    #[test]
    fn the_oldest_goes_and_offsets_tell_so() {
        let ring = Ring::new(10);
        ring.write(b"0123456789");
        ring.write(b"abc");
        assert_eq!(ring.bounds(), (13, 3));
        assert_eq!(text(ring.read(0, 100)), (3, "3456789abc".to_owned()), "a slow reader sees the gap");
        ring.write(b"a piece that is longer than the ring");
        assert_eq!(text(ring.read(0, 100)).1, "n the ring");
    }

    #[tokio::test]
    async fn a_reader_waits_for_more() {
        let ring = Ring::new(10);
        ring.write(b"a");
        ring.grown(0).await;
        let waits = ring.grown(1);
        tokio::pin!(waits);
        assert!(futures::poll!(&mut waits).is_pending());
        ring.write(b"b");
        waits.await;
    }
}
