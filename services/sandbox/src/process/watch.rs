//! Memory of a sandbox where no control group counts it: the sum over its processes.

use std::fs;

use rustix::process::Pid;

/// Bytes of memory that a process and all below it have; pages that several share count once.
pub fn memory_of(root: Pid) -> u64 {
    let mut waiting = vec![root.as_raw_nonzero().get()];
    let mut bytes = 0;
    // A fork bomb may grow faster than it is counted.
    for _ in 0..4096 {
        let Some(pid) = waiting.pop() else { break };
        bytes += of_one(pid);
        for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            waiting.extend(children.split_whitespace().filter_map(|child| child.parse::<i32>().ok()));
        }
    }
    bytes
}

/// A process' share of memory; nothing for those of our own that hide it, which have little.
fn of_one(pid: i32) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let share = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kib = share.and_then(|text| text.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
