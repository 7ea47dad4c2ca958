//! The one task of a terminal: reads what its program writes, as fast as it is looked at, writes what is typed, and
//! sees to its end.

use std::{
    io,
    os::fd::{AsRawFd as _, OwnedFd},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Buf as _, Bytes};
use devstudio_kit::clock::Clock;
use tokio::{io::unix::AsyncFd, sync::mpsc, time::MissedTickBehavior};

use super::{Ended, SYNC_EVERY, Shared, mirror::Mirror};
use crate::{
    engine::Status,
    error::{Doing as _, SandboxError},
    process::{End, Life},
};

/// The most bytes that are read from the program at once.
const READ_BYTES: usize = 32 * 1024;
/// How far the program may be ahead of a reader without a window of its own.
const USUAL_WINDOW: u64 = 256 * 1024;
/// Bytes a second that a program may write while nobody looks: it goes on, but cannot keep a processor busy with it.
const ALONE_BYTES_A_SECOND: u64 = 1024 * 1024;
/// How long of each tick the program must have been held back to be called throttled.
const THROTTLED: Duration = Duration::from_millis(150);

/// The task.
pub struct Keeper {
    shared: Arc<Shared>,
    pty: AsyncFd<OwnedFd>,
    life: Life,
    typed: mpsc::Receiver<Bytes>,
    mirror: Mirror,
}

impl Keeper {
    /// Of a terminal that was just opened.
    pub fn new(
        shared: Arc<Shared>,
        pty: OwnedFd,
        life: Life,
        typed: mpsc::Receiver<Bytes>,
        mirror: Mirror,
    ) -> Result<Self, SandboxError> {
        rustix::io::ioctl_fionbio(&pty, true).doing("opening a terminal")?;
        // SAFETY: an owned descriptor stays open and the same until it is dropped.
        let pty = unsafe { AsyncFd::register(pty) }.doing("opening a terminal")?;
        Ok(Self { shared, pty, life, typed, mirror })
    }

    /// Keeps the terminal until its program ends, it is closed, or nobody was attached for too long. Its files have
    /// come to the workspace then.
    pub async fn keep(self, watched_memory_bytes: Option<u64>, idle: time::Duration, clock: &Clock) -> Ended {
        let Self { shared, pty, life, mut typed, mirror } = self;
        let close = shared.close.clone();
        let life = life.ended(watched_memory_bytes, &close);
        tokio::pin!(life);
        let mirroring = tokio::spawn(mirror.follow(shared.clone()));
        let mut pace = Pace::new();
        let mut pending = Bytes::new();
        let mut silent = false;
        let mut buffer = vec![0u8; READ_BYTES];
        let mut tick = tokio::time::interval(SYNC_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let ended = loop {
            let moved = shared.moved.notified();
            let room = pace.room(&shared);
            tokio::select! {
                biased;
                ended = &mut life => break ended,
                piece = typed.recv(), if pending.is_empty() => match piece {
                    Some(piece) => pending = piece,
                    None => unreachable!("the sender lives with the shared part"),
                },
                written = write(&pty, &pending), if !pending.is_empty() => match written {
                    Ok(count) => pending.advance(count),
                    Err(_) => pending = Bytes::new(), // nobody reads any more
                },
                read = read(&pty, &mut buffer), if !silent && room > 0 => match read {
                    Ok(count) if count > 0 => {
                        pace.took(count);
                        shared.ring.write(&buffer[..count]);
                    }
                    // All programs have closed it; the end is near.
                    _ => silent = true,
                },
                () = moved => {}
                _ = tick.tick() => {
                    let throttled = pace.tick();
                    shared.asides.send_if_modified(|aside| std::mem::replace(&mut aside.throttled, throttled) != throttled);
                    let alone_since = {
                        let readers = shared.readers();
                        readers.shown.is_empty().then_some(readers.alone_since)
                    };
                    if alone_since.is_some_and(|since| clock.now() - since > idle) {
                        shared.close.cancel();
                    }
                }
            }
        };
        // What it wrote last is in the kernel still.
        while let Ok(count) = rustix::io::read(pty.get_ref(), &mut buffer) {
            if count == 0 {
                break;
            }
            shared.ring.write(&buffer[..count]);
        }
        drop(shared.pty().take());
        shared.ended.cancel();
        if let Err(error) = mirroring.await {
            tracing::error!(%error, "a terminal's workspace was not kept");
        }
        let (status, exit_code, signal) = match ended {
            Ok(End::Exited(0)) => (Status::Succeeded, 0, 0),
            Ok(End::Exited(code)) => (Status::NonzeroExit, code, 0),
            Ok(End::Signaled(signal)) => (Status::Signaled, -1, signal),
            Ok(End::OutOfMemory) => (Status::OutOfMemory, -1, 0),
            Ok(End::Cancelled | End::TimedOut | End::Flooded) => (Status::Cancelled, -1, 0),
            Ok(End::NotStarted(why)) => {
                shared.ring.write(format!("{why}\r\n").as_bytes());
                (Status::Failed, -1, 0)
            }
            Err(error) => {
                tracing::error!(%error, "a terminal could not be kept");
                (Status::Failed, -1, 0)
            }
        };
        Ended { status, exit_code, signal, at: clock.now() }
    }
}

/// How fast a program's output is read.
struct Pace {
    /// What may be read in this second while nobody looks.
    alone_left: u64,
    refilled: Instant,
    held_since: Option<Instant>,
    held: Duration,
}

impl Pace {
    fn new() -> Self {
        Self {
            alone_left: ALONE_BYTES_A_SECOND,
            refilled: Instant::now(),
            held_since: None,
            held: Duration::ZERO,
        }
    }

    /// How much may be read now. The fastest reader counts: one that stands still holds up nobody else, and finds a
    /// gap when it goes on.
    fn room(&mut self, shared: &Shared) -> u64 {
        let (written, _) = shared.ring.bounds();
        let furthest = {
            let readers = shared.readers();
            readers
                .shown
                .values()
                .map(|reader| {
                    let window = if reader.bytes == 0 { USUAL_WINDOW } else { reader.bytes };
                    window.saturating_sub(written.saturating_sub(reader.shown))
                })
                .max()
        };
        let room = match furthest {
            Some(room) => room,
            None => {
                if self.refilled.elapsed() > Duration::from_secs(1) {
                    (self.alone_left, self.refilled) = (ALONE_BYTES_A_SECOND, Instant::now());
                }
                self.alone_left
            }
        };
        match (room, furthest, self.held_since) {
            (0, Some(_), None) => self.held_since = Some(Instant::now()),
            (1.., _, Some(since)) => {
                self.held += since.elapsed();
                self.held_since = None;
            }
            _ => {}
        }
        room
    }

    fn took(&mut self, bytes: usize) {
        self.alone_left = self.alone_left.saturating_sub(bytes as u64);
    }

    /// Was the program held back for a part of the time since the last tick that somebody notices?
    fn tick(&mut self) -> bool {
        if let Some(since) = &mut self.held_since {
            self.held += since.elapsed();
            *since = Instant::now();
        }
        std::mem::take(&mut self.held) > THROTTLED
    }
}

async fn read(pty: &AsyncFd<OwnedFd>, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        let mut ready = pty.readable().await?;
        match ready.try_io(|pty| Ok(rustix::io::read(pty.get_ref(), &mut *buffer)?)) {
            Ok(read) => return read,
            Err(_would_block) => {}
        }
    }
}

async fn write(pty: &AsyncFd<OwnedFd>, data: &[u8]) -> io::Result<usize> {
    loop {
        let mut ready = pty.writable().await?;
        match ready.try_io(|pty| Ok(rustix::io::write(pty.get_ref(), data)?)) {
            Ok(written) => return written,
            Err(_would_block) => {}
        }
    }
}

/// Gives a terminal another size.
pub fn resize(pty: &OwnedFd, columns: u16, rows: u16) {
    // A terminal that has ended has no size.
    let _ = crate::process::pty::resize(pty.as_raw_fd(), (columns, rows));
}
