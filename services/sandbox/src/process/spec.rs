//! What the service tells the launcher, and what the launcher tells the service.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The first argument that makes a program of ours the launcher.
pub const INIT_ARGUMENT: &str = "sandbox-init";
/// The launcher's end of the control socket.
pub const CONTROL_FD: i32 = 3;
/// The file with the [`Spec`].
pub const SPEC_FD: i32 = 4;
/// Where a worker writes its report; descriptor 3 within the worker.
pub const REPORT_FD: i32 = 5;
/// The user that a program is, in its own view.
pub const INNER_UID: u32 = 1000;

/// One sandbox, wholly described.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Spec {
    /// The user to become first; set where the service is root.
    pub drop_to: Option<(u32, u32)>,
    /// The control groups to join.
    pub cgroups: Vec<PathBuf>,
    /// The workspace; an empty one where there is none.
    pub lower: Option<PathBuf>,
    /// Further folders of the host that programs see, read-only, at their own place.
    pub expose: Vec<PathBuf>,
    /// What to run.
    pub payload: Payload,
    /// A file to put into the workspace's view before the program starts: name and content.
    pub code: Option<(String, String)>,
    /// The whole environment.
    pub env: Vec<(String, String)>,
    /// The limits that the launcher itself sets.
    pub limits: Limits,
}

/// What runs in a sandbox.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Payload {
    /// A program of the host.
    Program {
        /// Its file and arguments.
        argv: Vec<String>,
    },
    /// The worker for WebAssembly modules.
    WasmWorker,
}

/// Limits that need no control group.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes that the workspace's view may grow by.
    pub disk_bytes: u64,
    /// Files that the workspace's view may grow by.
    pub disk_files: u64,
    /// Bytes of /tmp.
    pub tmp_bytes: u64,
    /// Processes and threads.
    pub processes: u64,
    /// Bytes of data of one process; set where no control group bounds memory.
    pub data_bytes: Option<u64>,
}

/// What the launcher tells the service.
#[derive(Debug, Serialize, Deserialize)]
pub enum Note {
    /// The first process of the sandbox was made; its pidfd comes along.
    First,
    /// Everything stands and the program starts now; the workspace's upper layer comes along.
    Ready {
        /// The version of Landlock that is enforced; 0 where there is none.
        landlock_abi: i32,
    },
    /// A step failed; nothing was run.
    Failed {
        /// Which.
        step: String,
        /// What the kernel said.
        errno: i32,
    },
    /// The program ended.
    Ended {
        /// Its exit code, where it ended by itself.
        exit_code: Option<i32>,
        /// The signal that ended it, otherwise.
        signal: Option<i32>,
        /// Processor time of it and its children.
        cpu_ms: u64,
        /// The most memory that one of them had.
        max_rss_bytes: u64,
    },
}

/// A step of the launcher that failed.
#[derive(Debug)]
pub struct Step {
    /// Which.
    pub step: &'static str,
    /// What the kernel said.
    pub errno: i32,
}

/// Names the step in which a call of libc failed.
pub fn check(result: impl Into<i64>, step: &'static str) -> Result<i64, Step> {
    let result = result.into();
    if result < 0 { Err(Step::last(step)) } else { Ok(result) }
}

impl Step {
    /// A step whose call of libc has just failed.
    pub fn last(step: &'static str) -> Self {
        Self { step, errno: std::io::Error::last_os_error().raw_os_error().unwrap_or(0) }
    }

    /// A step that failed by an error of the standard library.
    pub fn of(step: &'static str, error: &std::io::Error) -> Self {
        Self { step, errno: error.raw_os_error().unwrap_or(libc::EIO) }
    }
}
