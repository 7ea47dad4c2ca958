//! Moves a program's output to whoever listens, up to a limit, and gives it what it reads.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    sync::{Mutex as AsyncMutex, Notify, mpsc},
};

use super::dialer::Dialer;

/// The most bytes of one stream that are kept.
pub const MAX_OUTPUT_BYTES: usize = 1024 * 1024;
/// How much more a program may write before it is ended: a talkative one may finish, a flood is no work.
pub const MAX_DROPPED_BYTES: usize = 4 * 1024 * 1024;

/// Which output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// The output.
    Stdout,
    /// The error output.
    Stderr,
}

/// What happens while a program runs.
#[derive(Debug, Clone)]
pub enum Event {
    /// It started.
    Started {
        /// Reaches its ports, where the engine can.
        dialer: Option<Dialer>,
    },
    /// It wrote something.
    Output {
        /// Where to.
        stream: Stream,
        /// What.
        data: Bytes,
        /// Milliseconds since the start.
        at_ms: u32,
    },
}

/// Whoever listens to a run. Bounded: a slow listener slows the program down.
#[derive(Debug, Clone)]
pub struct Sink {
    events: mpsc::Sender<Event>,
    started: Instant,
}

impl Sink {
    /// A sink and what comes out of it.
    pub fn new() -> (Self, mpsc::Receiver<Event>) {
        let (events, receiver) = mpsc::channel(16);
        (Self { events, started: Instant::now() }, receiver)
    }

    /// Tells that the program starts now, and how its ports are reached.
    pub async fn start(&mut self, dialer: Option<Dialer>) {
        self.started = Instant::now();
        // A listener that has gone ends the run by dropping it.
        let _ = self.events.send(Event::Started { dialer }).await;
    }

    /// Milliseconds since the start.
    pub fn at_ms(&self) -> u32 {
        self.started.elapsed().as_millis().min(u128::from(u32::MAX)) as u32
    }

    /// Passes output on.
    pub async fn output(&self, stream: Stream, data: Bytes) {
        let _ = self.events.send(Event::Output { stream, data, at_ms: self.at_ms() }).await;
    }
}

/// Reads to the end, passes on what fits, and answers whether something did not. Calls `flood` where far too much
/// comes, and reads no more then. The pipe stays with the caller until the program has ended: closed before, it would
/// end the program as one whose reader has gone.
pub async fn pump(from: &mut (impl AsyncRead + Unpin), stream: Stream, sink: &Sink, flood: &Notify) -> bool {
    let mut buffer = vec![0u8; 64 * 1024];
    let mut seen = 0usize;
    loop {
        let read = match from.read(&mut buffer).await {
            Ok(0) | Err(_) => return seen > MAX_OUTPUT_BYTES,
            Ok(read) => read,
        };
        let room = MAX_OUTPUT_BYTES.saturating_sub(seen);
        seen += read;
        if room > 0 {
            sink.output(stream, Bytes::copy_from_slice(&buffer[..read.min(room)])).await;
        }
        if seen > MAX_OUTPUT_BYTES + MAX_DROPPED_BYTES {
            flood.notify_one();
            return true;
        }
    }
}

/// What a program reads after its first input, as it comes. Cheap to clone; one run takes from it.
#[derive(Debug, Clone)]
pub struct Feed(Arc<AsyncMutex<mpsc::Receiver<Bytes>>>);

impl Feed {
    /// A feed, and where to put what the program shall read. Dropping that closes the program's input.
    pub fn new() -> (mpsc::Sender<Bytes>, Self) {
        let (sender, receiver) = mpsc::channel(4);
        (sender, Self(Arc::new(AsyncMutex::new(receiver))))
    }
}

/// Gives a program what it reads, then what comes after that, and closes its input. A program need not read it.
pub async fn feed(mut to: impl AsyncWrite + Unpin, first: &[u8], more: Option<&Feed>) {
    if to.write_all(first).await.is_err() {
        return;
    }
    let Some(Feed(more)) = more else { return };
    let mut more = more.lock().await;
    while let Some(piece) = more.recv().await {
        if to.write_all(&piece).await.is_err() {
            return;
        }
    }
}
