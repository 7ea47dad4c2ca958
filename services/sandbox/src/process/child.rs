//! A sandbox that stands: what it is told to run, its notes, its output, its limits of time and memory, and its sure
//! end.

use std::{
    os::fd::{AsFd as _, OwnedFd},
    path::Path,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, pidfd_send_signal, waitid},
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    net::unix::pipe,
    sync::Notify,
    time::MissedTickBehavior,
};
use tokio_util::sync::CancellationToken;

use super::{
    cgroup::{Bounds, Group},
    control::{ask_it, receive, send},
    dialer::{Dialer, Questions},
    pump::{Feed, Sink, Stream, feed, pump},
    spawn::{self, Spawned},
    spec::{Go, Note, Stage},
    watch,
};
use crate::{
    blocking,
    error::{Doing as _, SandboxError},
};

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
    /// What it reads after that, until it is closed.
    pub more: Option<Feed>,
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
pub(crate) struct Hold {
    pid: Pid,
    pidfd: Option<AsyncFd<OwnedFd>>,
    first: Option<OwnedFd>,
    group: Option<Group>,
}

impl Hold {
    /// Ends all of them at once.
    pub(crate) fn kill(&self) {
        // Either may have ended already; then there is nothing to do.
        let _ = match &self.first {
            Some(first) => pidfd_send_signal(first, Signal::KILL),
            None => kill_process(self.pid, Signal::KILL),
        };
    }

    /// It stands still: its processes have not ended.
    fn is_standing(&self) -> bool {
        // The descriptor of a process is readable once it has ended.
        let ended = |first: &OwnedFd| {
            let mut wanted = [PollFd::new(first, PollFlags::IN)];
            !matches!(poll(&mut wanted, Some(&Timespec::default())), Ok(0))
        };
        self.first.as_ref().is_some_and(|first| !ended(first))
    }

    /// Waits until nothing is left, and removes the groups.
    pub(crate) async fn gone(&mut self) -> Result<(), SandboxError> {
        if let Some(pidfd) = &self.pidfd {
            drop(pidfd.readable().await.doing("waiting for a sandbox")?);
            waitid(WaitId::PidFd(pidfd.get_ref().as_fd()), WaitIdOptions::EXITED)
                .doing("reaping a sandbox")?;
            self.pidfd = None;
        }
        let group = self.group.take();
        blocking(move || drop(group)).await
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

/// A sandbox that stands and waits for what is to run in it. Dropping it ends it.
pub struct Armed {
    hold: Hold,
    control: AsyncFd<OwnedFd>,
    stdin: OwnedFd,
    stdout: OwnedFd,
    stderr: OwnedFd,
    report: OwnedFd,
    /// The version of Landlock that is enforced.
    pub landlock_abi: i32,
}

impl Armed {
    /// Starts a launcher and waits until its sandbox stands.
    pub async fn stand(program: &Path, stage: &Stage, group: Option<Group>) -> Result<Self, StartError> {
        let Spawned { pid, pidfd, control, stdin, stdout, stderr, report } = spawn::spawn(program, stage)?;
        let pidfd = readable(pidfd).doing("watching a sandbox")?;
        let mut hold = Hold { pid, pidfd: Some(pidfd), first: None, group };
        let control = readable(control).doing("listening to a sandbox")?;
        let standing = async {
            loop {
                match receive(&control).await? {
                    Some((Note::First, fds)) => hold.first = fds.into_iter().next(),
                    Some((Note::Armed { landlock_abi }, _)) => return Ok(landlock_abi),
                    other => return Err(not_yet(other)),
                }
            }
        };
        let landlock_abi = in_time(standing).await?;
        Ok(Self { hold, control, stdin, stdout, stderr, report, landlock_abi })
    }

    /// It stands still: its processes have not ended.
    pub fn is_standing(&self) -> bool {
        self.hold.is_standing()
    }

    /// Starts a program in it. `tree` is the workspace, where the order says that it comes along.
    pub async fn go(mut self, go: &Go, tree: Option<OwnedFd>, bounds: Bounds) -> Result<Running, StartError> {
        if let Some(group) = &self.hold.group {
            group.set(bounds).doing("setting limits")?;
        }
        let order = spawn::in_memory(go)?;
        let fds: Vec<_> =
            [Some(order.as_fd()), tree.as_ref().map(|tree| tree.as_fd())].into_iter().flatten().collect();
        send(&self.control, b"go", &fds)?;
        drop((order, tree));
        let starting = async {
            loop {
                match receive(&self.control).await? {
                    // It may come after the sandbox itself stands.
                    Some((Note::First, fds)) => self.hold.first = fds.into_iter().next(),
                    Some((Note::Ready, fds)) => return Ok(fds),
                    other => return Err(not_yet(other)),
                }
            }
        };
        let mut fds = in_time(starting).await?.into_iter();
        let missing = || SandboxError::Internal("the launcher sent no workspace".to_owned());
        let (upper, merged) = (fds.next().ok_or_else(missing)?, fds.next().ok_or_else(missing)?);
        let (dialer, questions) = Dialer::new();
        Ok(Running {
            hold: self.hold,
            control: self.control,
            stdin: pipe::Sender::from_owned_fd(self.stdin).doing("opening a pipe")?,
            stdout: pipe::Receiver::from_owned_fd(self.stdout).doing("opening a pipe")?,
            stderr: pipe::Receiver::from_owned_fd(self.stderr).doing("opening a pipe")?,
            report: pipe::Receiver::from_owned_fd(self.report).doing("opening a pipe")?,
            upper,
            merged,
            terminal: fds.next(),
            dialer,
            questions,
            landlock_abi: self.landlock_abi,
        })
    }
}

/// What a sandbox that does not stand said in place of it.
fn not_yet(heard: Option<(Note, Vec<OwnedFd>)>) -> StartError {
    match heard {
        Some((Note::Failed { step, errno }, _)) => StartError::Step { step, errno },
        _ => SandboxError::Internal("the launcher ended too early".to_owned()).into(),
    }
}

async fn in_time<T>(standing: impl Future<Output = Result<T, StartError>>) -> Result<T, StartError> {
    let late = |_| SandboxError::Internal("the sandbox did not stand in time".to_owned());
    tokio::time::timeout(START_TIMEOUT, standing).await.map_err(late)?
}

/// A sandbox in which a program runs.
pub struct Running {
    hold: Hold,
    control: AsyncFd<OwnedFd>,
    stdin: pipe::Sender,
    stdout: pipe::Receiver,
    stderr: pipe::Receiver,
    report: pipe::Receiver,
    upper: OwnedFd,
    merged: OwnedFd,
    terminal: Option<OwnedFd>,
    dialer: Dialer,
    questions: Questions,
    /// The version of Landlock that is enforced.
    pub landlock_abi: i32,
}

/// A program on a terminal, taken apart for whoever keeps it.
pub(crate) struct OnTerminal {
    /// Its life.
    pub life: Life,
    /// The terminal's outer end.
    pub terminal: OwnedFd,
    /// What was changed in its workspace.
    pub upper: OwnedFd,
    /// Its workspace as it sees it.
    pub merged: OwnedFd,
    /// Connects to its ports.
    pub dialer: Dialer,
}

/// The life of a program in its sandbox. Dropping it ends it.
pub(crate) struct Life {
    hold: Hold,
    control: AsyncFd<OwnedFd>,
    questions: Questions,
}

impl Life {
    /// Waits for the program's end, or makes it when `cancel` says so. Afterwards nothing of it is left.
    pub async fn ended(
        mut self,
        watched_memory_bytes: Option<u64>,
        cancel: &CancellationToken,
    ) -> Result<End, SandboxError> {
        let (flood, hold) = (Notify::new(), &mut self.hold);
        let bounds = Watched { deadline: None, memory_bytes: watched_memory_bytes, cancel, flood: &flood };
        let ended = watch_over(hold, &self.control, &mut self.questions, bounds).await;
        hold.kill();
        hold.gone().await?;
        ended.map(|(end, ..)| end)
    }
}

impl Running {
    /// Its processes have not ended.
    pub(crate) fn is_standing(&self) -> bool {
        self.hold.is_standing()
    }

    /// Takes a program on a terminal apart. Fails where it has none.
    pub(crate) fn on_terminal(self) -> Result<OnTerminal, SandboxError> {
        let Self { hold, control, upper, merged, terminal, dialer, questions, .. } = self;
        let terminal =
            terminal.ok_or_else(|| SandboxError::Internal("the sandbox has no terminal".to_owned()))?;
        Ok(OnTerminal { life: Life { hold, control, questions }, terminal, upper, merged, dialer })
    }

    /// Lets the program work to its end, whatever that is. Afterwards nothing of it is left.
    pub async fn finish(self, work: Work<'_>) -> Result<Ending, SandboxError> {
        let Self { mut hold, control, stdin, report, upper, dialer, mut questions, .. } = self;
        let (mut stdout, mut stderr) = (self.stdout, self.stderr);
        let Work { stdin: input, more, timeout, watched_memory_bytes, cancel, sink } = work;
        let started = Instant::now();
        sink.start(Some(dialer)).await;
        let flood = Notify::new();
        let sink = &*sink;
        let collect = collect(report);
        let watch = async {
            let deadline = Some(started + timeout);
            let bounds =
                Watched { deadline, memory_bytes: watched_memory_bytes, cancel: &cancel, flood: &flood };
            let ended = watch_over(&mut hold, &control, &mut questions, bounds).await;
            let wall = started.elapsed();
            hold.kill();
            hold.gone().await?;
            Ok::<_, SandboxError>((ended?, wall))
        };
        let pumps = async {
            tokio::join!(
                pump(&mut stdout, Stream::Stdout, sink, &flood),
                pump(&mut stderr, Stream::Stderr, sink, &flood),
                collect
            )
        };
        let both = async { tokio::join!(pumps, watch) };
        // Feeding ends when the reader is gone; nobody has to wait for it.
        let ((out, err, report), watched) = tokio::select! {
            biased;
            both = both => both,
            () = async { feed(stdin, &input, more.as_ref()).await; std::future::pending().await } => {
                unreachable!("pending never ends")
            }
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

/// What ends a run beside the program itself.
struct Watched<'a> {
    deadline: Option<Instant>,
    memory_bytes: Option<u64>,
    cancel: &'a CancellationToken,
    flood: &'a Notify,
}

/// Waits for whatever ends the run first, and passes questions on until then.
async fn watch_over(
    hold: &mut Hold,
    control: &AsyncFd<OwnedFd>,
    questions: &mut Questions,
    bounds: Watched<'_>,
) -> Result<Ended, SandboxError> {
    let deadline = async {
        match bounds.deadline {
            Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(deadline);
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let oom = |hold: &Hold| hold.group.as_ref().is_some_and(|group| group.oom_kills() > 0);
    loop {
        tokio::select! {
            biased;
            note = receive(control) => match note? {
                Some((Note::First, fds)) => hold.first = fds.into_iter().next(),
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
                Some((Note::Dialed { id, errno }, fds)) => questions.dialed(id, errno, fds.into_iter().next()),
                Some((Note::Ports(ports), _)) => questions.told(ports),
                Some((Note::Armed { .. } | Note::Ready, _)) => {}
                // The first process was ended from outside: the kernel did, when the memory was used up.
                None if oom(hold) => return Ok((End::OutOfMemory, 0, 0)),
                None => return Ok((End::Signaled(libc::SIGKILL), 0, 0)),
            },
            () = &mut deadline => return Ok((End::TimedOut, 0, 0)),
            () = bounds.cancel.cancelled() => return Ok((End::Cancelled, 0, 0)),
            () = bounds.flood.notified() => return Ok((End::Flooded, 0, 0)),
            ask = questions.next(), if questions.has_room() => ask_it(control, ask)?,
            _ = look.tick() => {
                let over = bounds.memory_bytes.is_some_and(|limit| watch::memory_of(hold.pid) > limit);
                if over || oom(hold) {
                    return Ok((End::OutOfMemory, 0, 0));
                }
            }
        }
    }
}

/// Reads a worker's report to its end, up to 16 MiB.
async fn collect(report: pipe::Receiver) -> Vec<u8> {
    use tokio::io::AsyncReadExt as _;
    let mut content = Vec::new();
    // What a worker reported until it broke is all there is.
    let _ = report.take(16 << 20).read_to_end(&mut content).await;
    content
}
