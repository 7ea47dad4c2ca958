//! Memory of a sandbox where no control group counts it: the sum over its processes.

use std::fs;

use rustix::process::Pid;

/// Bytes of memory that a process and all below it have.
pub fn memory_of(root: Pid) -> u64 {
    let page_bytes = page_size();
    let mut waiting = vec![root.as_raw_nonzero().get()];
    let mut pages = 0;
    // A fork bomb may grow faster than it is counted.
    for _ in 0..4096 {
        let Some(pid) = waiting.pop() else { break };
        let statm = fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
        let mut fields = statm.split(' ').skip(1).map(|field| field.parse::<u64>().unwrap_or(0));
        pages += fields.next().unwrap_or(0);
        for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            waiting.extend(children.split_whitespace().filter_map(|child| child.parse::<i32>().ok()));
        }
    }
    pages * page_bytes
}

fn page_size() -> u64 {
    // SAFETY: the call touches no memory.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) }.max(4096) as u64
}
