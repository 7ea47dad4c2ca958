//! The end of a container: what it runs in is ended from below, so that the `runsc` above reaps it and clears up. Ended
//! first, that would leave its children to the machine's first process, which may reap late; runsc waits for that.

use std::{fs, time::Duration};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::process::Child;

/// How long `runsc` may take to clear up before it is ended itself.
const CLEARS_WITHIN: Duration = Duration::from_secs(1);
/// What runsc calls a container's kernel, and what opens files for it.
const BELOW: [&[u8]; 2] = [b"runsc-sandbox", b"runsc-gofer"];

/// Ends a `runsc run` with its container, unless it has ended by itself, and waits for that.
pub async fn gently(run: &mut Child) {
    if let Some(pid) = run.id() {
        end_below(pid);
        if tokio::time::timeout(CLEARS_WITHIN, run.wait()).await.is_err() {
            let _ = run.start_kill();
        }
    }
    let _ = run.wait().await;
}

/// Ends the container's processes below a `runsc run`, which stands above them directly or by processes of its own.
fn end_below(run: u32) {
    let mut above = vec![run];
    while let Some(parent) = above.pop() {
        for child in children_of(parent) {
            let Some(pid) = i32::try_from(child).ok().and_then(Pid::from_raw) else { continue };
            // First the descriptor, then a look: what is looked at is what is ended.
            let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { continue };
            let line = fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default();
            match BELOW.iter().any(|name| line.starts_with(name)) {
                true => drop(pidfd_send_signal(process, Signal::KILL)),
                false => above.push(child),
            }
        }
    }
}

/// The children of all threads of a process.
fn children_of(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}
