//! What the service tells the launcher, and what the launcher tells the service: first how to put a sandbox up, then,
//! when that stands, what runs in it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The first argument that makes a program of ours the launcher.
pub const INIT_ARGUMENT: &str = "sandbox-init";
/// The launcher's end of the control socket.
pub const CONTROL_FD: i32 = 3;
/// The file with the [`Stage`].
pub const STAGE_FD: i32 = 4;
/// Where a worker writes its report; descriptor 3 within the worker.
pub const REPORT_FD: i32 = 5;
/// The user that a program is, in its own view.
pub const INNER_UID: u32 = 1000;

/// How a sandbox is put up, before it is known what will run in it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Stage {
    /// The user to become first; set where the service is root.
    pub drop_to: Option<(u32, u32)>,
    /// The control groups to join.
    pub cgroups: Vec<PathBuf>,
    /// The folder of all working copies, where the sandbox takes its own from it by name: an ordinary user's service
    /// cannot hand a tree over.
    pub copies: Option<PathBuf>,
    /// Further folders of the host that programs see, read-only, at their own place.
    pub expose: Vec<PathBuf>,
    /// Bytes of /tmp.
    pub tmp_bytes: u64,
    /// Files in memory are refused, since nothing else bounds them.
    pub refuse_memory_files: bool,
}

/// What runs in a sandbox that stands. Comes as a file in memory, with the workspace's tree where that is handed over.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Go {
    /// The workspace that is seen.
    pub lower: Lower,
    /// What to run.
    pub payload: Payload,
    /// A file to put into the workspace's view before the program starts: name and content.
    pub code: Option<(String, String)>,
    /// The whole environment.
    pub env: Vec<(String, String)>,
    /// The limits that the launcher itself sets.
    pub limits: Limits,
    /// The size of the terminal that the program has as its input and output: columns and rows.
    pub terminal: Option<(u16, u16)>,
}

/// Where a sandbox gets its workspace from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Lower {
    /// It has none, and sees an empty one.
    None,
    /// A tree that comes along.
    Tree,
    /// The folder of this name among the working copies.
    Copy(String),
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
    /// Processes and threads.
    pub processes: u64,
    /// Bytes of data of one process; set where no control group bounds memory.
    pub data_bytes: Option<u64>,
}

/// What the service asks of a sandbox's first process while a program runs. Each is answered by a [`Note`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// Connect to a port of the sandbox's own network. Answered by `Dialed`.
    Dial {
        /// Comes back with the answer.
        id: u64,
        /// The port.
        port: u16,
    },
    /// Tell the ports on which programs listen. Answered by `Ports`.
    Ports,
}

/// What the launcher tells the service.
#[derive(Debug, Serialize, Deserialize)]
pub enum Note {
    /// The first process of the sandbox was made; its pidfd comes along.
    First,
    /// The sandbox stands and waits for its [`Go`].
    Armed {
        /// The version of Landlock that is enforced; 0 where there is none.
        landlock_abi: i32,
    },
    /// The program starts now. The workspace's upper layer and its merged view come along, and the terminal's end
    /// where there is a terminal.
    Ready,
    /// A connection that was asked for; it comes along, or the errno does.
    Dialed {
        /// The id of the question.
        id: u64,
        /// What the kernel said; 0 where the connection came along. It may still be on its way.
        errno: i32,
    },
    /// The ports on which programs listen, in order.
    Ports(Vec<u16>),
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
