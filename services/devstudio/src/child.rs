//! One child of the supervisor: started, watched until it answers, started again when it ends, stopped in the end.
//!
//! The kernel ends a child when the thread that started it ends (PR_SET_PDEATHSIG). So all of this runs on a
//! current-thread runtime on the main thread, which lives as long as the supervisor does.

use std::{
    io,
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    path::PathBuf,
    process::{Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use futures::future::BoxFuture;
use rustix::process::{Pid, Signal, kill_process};
use tokio::{task::JoinHandle, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{child_log, terminal::Terminal};

/// Waiting between two starts, doubled each time …
const FIRST_DELAY: Duration = Duration::from_millis(100);
/// … up to this …
const LAST_DELAY: Duration = Duration::from_secs(5);
/// … and from the beginning again after the child ran this long.
const STABLE: Duration = Duration::from_secs(30);
/// How often the first start is tried before the supervisor gives up.
const FIRST_TRIES: u32 = 3;
/// How often a child is asked whether it answers.
const ASK_EVERY: Duration = Duration::from_millis(40);

/// Asks a child whether it answers; the error says what is still missing.
pub type Probe = Box<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// What a child is.
pub struct Child {
    /// Its name, in messages and as the name of its log file.
    pub name: &'static str,
    /// Makes the command that starts it.
    pub command: Box<dyn Fn() -> Command + Send + Sync>,
    /// Asks whether it answers.
    pub ready: Probe,
    /// How long it may take until it answers.
    pub start_within: Duration,
    /// What asks it to stop …
    pub stop: Signal,
    /// … and how long it then may take.
    pub stop_within: Duration,
    /// What it gets from the kernel when the supervisor is gone.
    pub orphan: Signal,
    /// Where its output goes.
    pub log: PathBuf,
}

/// A child that answered once and is kept running.
#[derive(Debug)]
pub struct Running {
    name: &'static str,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    /// Asks the child to stop and waits until it has.
    pub async fn stop(self, terminal: &Terminal) {
        let started = Instant::now();
        self.stop.cancel();
        let _ = self.task.await;
        terminal.step(self.name, "stopped", started.elapsed());
    }
}

/// Starts a child and waits until it answers. From then on it is kept running. When it does not come up, the error
/// ends with the last lines of its log.
pub async fn start(child: Child, terminal: Terminal) -> anyhow::Result<Running> {
    let stop = CancellationToken::new();
    let started = Instant::now();
    let mut tries = 0;
    let mut delay = FIRST_DELAY;
    let process = loop {
        tries += 1;
        let mut process = spawn(&child, &terminal)?;
        match until_ready(&child, &mut process, started + child.start_within).await {
            Ok(()) => break process,
            Err(reason) => {
                end(&child, &mut process).await;
                if tries == FIRST_TRIES || started.elapsed() >= child.start_within {
                    let tail = child_log::tail(&child.log, 12);
                    bail!("{} {reason}. The end of {}:\n{tail}", child.name, child.log.display());
                }
                sleep(delay).await;
                delay *= 2;
            }
        }
    };
    terminal.step(child.name, "ready", started.elapsed());
    let name = child.name;
    let stopped = stop.clone();
    let task = tokio::spawn(async move { keep(&child, process, &terminal, &stopped).await });
    Ok(Running { name, stop, task })
}

/// Keeps a child running until it is to stop.
async fn keep(
    child: &Child,
    mut process: tokio::process::Child,
    terminal: &Terminal,
    stopped: &CancellationToken,
) {
    let mut delay = FIRST_DELAY;
    let mut up_since = Instant::now();
    loop {
        let status = tokio::select! {
            () = stopped.cancelled() => return end(child, &mut process).await,
            status = process.wait() => status,
        };
        if up_since.elapsed() >= STABLE {
            delay = FIRST_DELAY;
        }
        let lost = Instant::now();
        terminal.note(&format!("{} {}; starting it again", child.name, how_it_ended(&status)));
        process = loop {
            tokio::select! {
                () = stopped.cancelled() => return,
                () = sleep(delay) => {}
            }
            delay = (delay * 2).min(LAST_DELAY);
            let mut process = match spawn(child, terminal) {
                Ok(process) => process,
                Err(error) => {
                    terminal.note(&format!("{error:#}"));
                    continue;
                }
            };
            let ready = tokio::select! {
                () = stopped.cancelled() => return end(child, &mut process).await,
                ready = until_ready(child, &mut process, Instant::now() + child.start_within) => ready,
            };
            match ready {
                Ok(()) => break process,
                Err(reason) => {
                    terminal.note(&format!("{} {reason}; see {}", child.name, child.log.display()));
                    end(child, &mut process).await;
                }
            }
        };
        terminal.note(&format!("{} is back after {:.2} s", child.name, lost.elapsed().as_secs_f64()));
        up_since = Instant::now();
    }
}

fn spawn(child: &Child, terminal: &Terminal) -> anyhow::Result<tokio::process::Child> {
    let (reader, writer) = io::pipe().context("make a pipe")?;
    let mut command = (child.command)();
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    // Its own group: a Ctrl-C in the terminal reaches the supervisor alone, which stops the children in order.
    command.process_group(0);
    let (supervisor, signal) = (rustix::process::getpid(), child.orphan);
    // SAFETY: between fork and exec only prctl, getppid and _exit are called; each is async-signal-safe, and nothing
    // is allocated or locked.
    unsafe {
        command.pre_exec(move || {
            rustix::process::set_parent_process_death_signal(Some(signal))?;
            if rustix::process::getppid() != Some(supervisor) {
                // The supervisor ended before the signal was set.
                libc::_exit(1);
            }
            Ok(())
        });
    }
    let process = tokio::process::Command::from(command).spawn();
    let process = process.with_context(|| format!("start {}", child.name))?;
    child_log::follow(child.name, &child.log, reader, terminal.clone())?;
    Ok(process)
}

/// Waits until the child answers, or says why it does not.
async fn until_ready(
    child: &Child,
    process: &mut tokio::process::Child,
    deadline: Instant,
) -> Result<(), String> {
    let mut missing = "does not answer".to_owned();
    loop {
        let asked = tokio::time::timeout(Duration::from_secs(2), (child.ready)());
        tokio::select! {
            status = process.wait() => return Err(how_it_ended(&status)),
            answer = asked => match answer {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(reason)) => missing = reason,
                Err(_) => {}
            },
        }
        if Instant::now() >= deadline {
            return Err(format!("was not ready within {} s ({missing})", child.start_within.as_secs()));
        }
        sleep(ASK_EVERY).await;
    }
}

/// Stops a process: politely, and after its time for good.
async fn end(child: &Child, process: &mut tokio::process::Child) {
    let Some(pid) = process.id().and_then(|pid| Pid::from_raw(pid as i32)) else { return };
    let _ = kill_process(pid, child.stop);
    if tokio::time::timeout(child.stop_within, process.wait()).await.is_err() {
        let _ = process.kill().await;
    }
}

fn how_it_ended(status: &io::Result<ExitStatus>) -> String {
    match status {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => format!("ended with exit code {code}"),
            (None, Some(signal)) => format!("was ended by signal {signal}"),
            (None, None) => "ended".to_owned(),
        },
        Err(error) => format!("is lost: {error}"),
    }
}
