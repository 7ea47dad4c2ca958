//! A sandbox that stands: its notes, its output, its limits of time and memory, and its sure end.

use std::{
    io::ErrorKind,
    mem::MaybeUninit,
    os::fd::{AsFd as _, OwnedFd},
    path::Path,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rustix::{
    net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg},
    process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, pidfd_send_signal, waitid},
};
use tokio::{
    io::{AsyncWriteExt as _, Interest, unix::AsyncFd},
    net::unix::pipe,
    sync::Notify,
    time::MissedTickBehavior,
};
use tokio_util::sync::CancellationToken;

use super::{
    cgroup::Group,
    pump::{Sink, Stream, pump},
    spawn::{self, Spawned},
    spec::{Note, Spec},
    watch,
};
use crate::error::{Doing as _, SandboxError};

/// How long a sandbox may take to stand.
const START_TIMEOUT: Duration = Duration::from_secs(10);
/// How often memory is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Why a sandbox does not stand.
#[derive(Debug)]
pub enum StartError {
    /// The kernel refused a step.
    Step {
        /// Which.
        step: String,
        /// What it said.
        errno: i32,
    },
    /// Something else.
    Other(SandboxError),
}

impl From<SandboxError> for StartError {
    fn from(error: SandboxError) -> Self {
        Self::Other(error)
    }
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// By itself.
    Exited(i32),
    /// By a signal.
    Signaled(i32),
    /// At its time limit.
    TimedOut,
    /// At its memory limit.
    OutOfMemory,
    /// Somebody cancelled it.
    Cancelled,
    /// It wrote far more than is kept.
    Flooded,
    /// The program could not be started.
    NotStarted(String),
}

/// All that is known after a run.
#[derive(Debug)]
pub struct Ending {
    /// How it ended.
    pub end: End,
    /// Processor time of the program and its children; 0 where it did not end by itself.
    pub cpu_ms: u64,
    /// The most memory that one of its processes had; 0 where it did not end by itself.
    pub max_rss_bytes: u64,
    /// From start to end.
    pub wall: Duration,
    /// Not all of its output was kept.
    pub truncated: bool,
    /// What it changed in its workspace.
    pub upper: OwnedFd,
    /// What a worker reported.
    pub report: Vec<u8>,
}

/// What a run is given.
pub struct Work<'a> {
    /// What the program reads.
    pub stdin: Bytes,
    /// How long it may run.
    pub timeout: Duration,
    /// Bytes of memory it may have, where no control group sees to it.
    pub watched_memory_bytes: Option<u64>,
    /// Cancels it.
    pub cancel: CancellationToken,
    /// Who listens.
    pub sink: &'a mut Sink,
}

/// The processes and groups of a sandbox. Dropping it ends them.
struct Hold {
    pid: Pid,
    pidfd: Option<AsyncFd<OwnedFd>>,
    first: Option<OwnedFd>,
    group: Option<Group>,
}

impl Hold {
    fn kill(&self) {
        // Either may have ended already; then there is nothing to do.
        let _ = match &self.first {
            Some(first) => pidfd_send_signal(first, Signal::KILL),
            None => kill_process(self.pid, Signal::KILL),
        };
    }

    /// Waits until nothing is left, and removes the groups.
    async fn gone(&mut self) -> Result<(), SandboxError> {
        if let Some(pidfd) = &self.pidfd {
            drop(pidfd.readable().await.doing("waiting for a sandbox")?);
            waitid(WaitId::PidFd(pidfd.get_ref().as_fd()), WaitIdOptions::EXITED)
                .doing("reaping a sandbox")?;
            self.pidfd = None;
        }
        let group = self.group.take();
        tokio::task::spawn_blocking(move || drop(group))
            .await
            .map_err(|e| SandboxError::Internal(e.to_string()))
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let Some(pidfd) = self.pidfd.take() else { return };
        self.kill();
        let (pidfd, group) = (pidfd.into_inner(), self.group.take());
        // Reaping may take a moment, and this may be a thread that must not wait.
        std::thread::spawn(move || {
            let _ = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED);
            drop(group);
        });
    }
}

/// A sandbox that stands.
pub struct Running {
    hold: Hold,
    control: AsyncFd<OwnedFd>,
    stdin: pipe::Sender,
    stdout: pipe::Receiver,
    stderr: pipe::Receiver,
    report: Option<pipe::Receiver>,
    upper: OwnedFd,
    /// The version of Landlock that is enforced.
    pub landlock_abi: i32,
}

impl Running {
    /// Starts a launcher and waits until its sandbox stands.
    pub async fn start(
        program: &Path,
        spec: &Spec,
        report: bool,
        group: Option<Group>,
    ) -> Result<Self, StartError> {
        let Spawned { pid, pidfd, control, stdin, stdout, stderr, report } =
            spawn::spawn(program, spec, report)?;
        let pidfd = readable(pidfd).doing("watching a sandbox")?;
        let mut hold = Hold { pid, pidfd: Some(pidfd), first: None, group };
        let control = readable(control).doing("listening to a sandbox")?;
        let standing = async {
            loop {
                match receive(&control).await? {
                    Some((Note::First, fd)) => hold.first = fd,
                    Some((Note::Ready { landlock_abi }, Some(upper))) => return Ok((landlock_abi, upper)),
                    Some((Note::Failed { step, errno }, _)) => return Err(StartError::Step { step, errno }),
                    Some(_) => {}
                    None => {
                        let error = SandboxError::Internal("the launcher ended too early".to_owned());
                        return Err(error.into());
                    }
                }
            }
        };
        let (landlock_abi, upper) = tokio::time::timeout(START_TIMEOUT, standing)
            .await
            .map_err(|_| SandboxError::Internal("the sandbox did not stand in time".to_owned()))??;
        Ok(Self {
            hold,
            control,
            stdin: pipe::Sender::from_owned_fd(stdin).doing("opening a pipe")?,
            stdout: pipe::Receiver::from_owned_fd(stdout).doing("opening a pipe")?,
            stderr: pipe::Receiver::from_owned_fd(stderr).doing("opening a pipe")?,
            report: report.map(pipe::Receiver::from_owned_fd).transpose().doing("opening a pipe")?,
            upper,
            landlock_abi,
        })
    }

    /// Lets the program work to its end, whatever that is. Afterwards nothing of it is left.
    pub async fn finish(self, work: Work<'_>) -> Result<Ending, SandboxError> {
        let Self { mut hold, control, mut stdin, stdout, stderr, report, upper, .. } = self;
        let Work { stdin: input, timeout, watched_memory_bytes, cancel, sink } = work;
        let started = Instant::now();
        sink.start().await;
        let flood = Notify::new();
        let sink = &*sink;
        let feed = async {
            // A program need not read what it is given.
            let _ = stdin.write_all(&input).await;
            drop(stdin);
        };
        let collect = collect(report);
        let watch = async {
            let ended =
                watch_over(&mut hold, &control, started, timeout, watched_memory_bytes, &cancel, &flood)
                    .await;
            let wall = started.elapsed();
            hold.kill();
            hold.gone().await?;
            Ok::<_, SandboxError>((ended?, wall))
        };
        let pumps = async {
            tokio::join!(
                pump(stdout, Stream::Stdout, sink, &flood),
                pump(stderr, Stream::Stderr, sink, &flood),
                collect
            )
        };
        let both = async { tokio::join!(pumps, watch) };
        // Feeding ends when the reader is gone; nobody has to wait for it.
        let ((out, err, report), watched) = tokio::select! {
            biased;
            both = both => both,
            () = async { feed.await; std::future::pending().await } => unreachable!("pending never ends"),
        };
        let ((end, cpu_ms, max_rss_bytes), wall) = watched?;
        Ok(Ending { end, cpu_ms, max_rss_bytes, wall, truncated: out || err, upper, report })
    }
}

fn readable(fd: OwnedFd) -> std::io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an owned descriptor stays open and the same until it is dropped.
    unsafe { Ok(AsyncFd::register_with_interest(fd, Interest::READABLE)?) }
}

type Ended = (End, u64, u64);

/// Waits for whatever ends the run first.
async fn watch_over(
    hold: &mut Hold,
    control: &AsyncFd<OwnedFd>,
    started: Instant,
    timeout: Duration,
    watched_memory_bytes: Option<u64>,
    cancel: &CancellationToken,
    flood: &Notify,
) -> Result<Ended, SandboxError> {
    let deadline = tokio::time::sleep_until((started + timeout).into());
    tokio::pin!(deadline);
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let oom = |hold: &Hold| hold.group.as_ref().is_some_and(|group| group.oom_kills() > 0);
    loop {
        tokio::select! {
            biased;
            note = receive(control) => match note? {
                Some((Note::First, fd)) => hold.first = fd,
                Some((Note::Failed { step, errno }, _)) => {
                    let why = std::io::Error::from_raw_os_error(errno);
                    return Ok((End::NotStarted(format!("{step}: {why}")), 0, 0));
                }
                Some((Note::Ended { exit_code, signal, cpu_ms, max_rss_bytes }, _)) => {
                    let end = match (exit_code, signal) {
                        (Some(0), _) => End::Exited(0),
                        _ if oom(hold) => End::OutOfMemory,
                        (Some(code), _) => End::Exited(code),
                        (None, signal) => End::Signaled(signal.unwrap_or(libc::SIGKILL)),
                    };
                    return Ok((end, cpu_ms, max_rss_bytes));
                }
                Some((Note::Ready { .. }, _)) => {}
                // The first process was ended from outside: the kernel did, when the memory was used up.
                None if oom(hold) => return Ok((End::OutOfMemory, 0, 0)),
                None => return Ok((End::Signaled(libc::SIGKILL), 0, 0)),
            },
            () = &mut deadline => return Ok((End::TimedOut, 0, 0)),
            () = cancel.cancelled() => return Ok((End::Cancelled, 0, 0)),
            () = flood.notified() => return Ok((End::Flooded, 0, 0)),
            _ = look.tick() => {
                let over = watched_memory_bytes.is_some_and(|limit| watch::memory_of(hold.pid) > limit);
                if over || oom(hold) {
                    return Ok((End::OutOfMemory, 0, 0));
                }
            }
        }
    }
}

/// The next note, with the descriptor that came along; nothing when the sandbox has closed its end.
async fn receive(control: &AsyncFd<OwnedFd>) -> Result<Option<(Note, Option<OwnedFd>)>, SandboxError> {
    let mut text = [0u8; 4096];
    let received = control
        .async_io(Interest::READABLE, |control| {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut extra = RecvAncillaryBuffer::new(&mut space);
            let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
            let message = recvmsg(control, &mut [std::io::IoSliceMut::new(&mut text)], &mut extra, flags)?;
            let fd = extra.drain().find_map(|message| match message {
                RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
                _ => None,
            });
            Ok((message.bytes, fd))
        })
        .await;
    let (bytes, fd) = match received {
        Ok(received) => received,
        Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(None),
        Err(error) => return Err(error).doing("listening to a sandbox"),
    };
    if bytes == 0 {
        return Ok(None);
    }
    let note = serde_json::from_slice(&text[..bytes]).map_err(|e| SandboxError::Internal(e.to_string()))?;
    Ok(Some((note, fd)))
}

/// Reads a worker's report to its end, up to 16 MiB.
async fn collect(report: Option<pipe::Receiver>) -> Vec<u8> {
    use tokio::io::AsyncReadExt as _;
    let mut content = Vec::new();
    if let Some(report) = report {
        // What a worker reported until it broke is all there is.
        let _ = report.take(16 << 20).read_to_end(&mut content).await;
    }
    content
}
