//! Starts the launcher: `posix_spawn` with exactly the descriptors it is meant to have and no environment.

use std::{
    ffi::CString,
    fs::File,
    io::{Seek as _, Write as _},
    os::{
        fd::{AsFd, AsRawFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

use rustix::{
    fs::MemfdFlags,
    io::fcntl_dupfd_cloexec,
    net::{AddressFamily, SocketFlags, SocketType, socketpair},
    pipe::{PipeFlags, pipe_with},
    process::{Pid, PidfdFlags, pidfd_open},
};

use super::spec::{CONTROL_FD, INIT_ARGUMENT, REPORT_FD, STAGE_FD, Stage};
use crate::error::{Doing as _, SandboxError};

/// The service's ends of a launcher that was started.
pub struct Spawned {
    /// Its process id; valid until it is waited for.
    pub pid: Pid,
    /// Readable when it has ended.
    pub pidfd: OwnedFd,
    /// Its notes arrive here, and it is asked here; closing it ends the sandbox.
    pub control: OwnedFd,
    /// What the program reads.
    pub stdin: OwnedFd,
    /// What it writes.
    pub stdout: OwnedFd,
    /// What it writes to its error output.
    pub stderr: OwnedFd,
    /// What a worker reports.
    pub report: OwnedFd,
}

/// A file in memory with this content, to be read from its beginning.
pub fn in_memory(content: &impl serde::Serialize) -> Result<OwnedFd, SandboxError> {
    let content = serde_json::to_vec(content).map_err(|error| SandboxError::Internal(error.to_string()))?;
    let memory = rustix::fs::memfd_create(c"order", MemfdFlags::CLOEXEC).doing("making an order")?;
    let mut memory = File::from(memory);
    memory.write_all(&content).and_then(|()| memory.rewind()).doing("writing an order")?;
    Ok(memory.into())
}

/// Starts a launcher.
pub fn spawn(program: &Path, stage: &Stage) -> Result<Spawned, SandboxError> {
    let memory = in_memory(stage)?;
    let flags = SocketFlags::CLOEXEC;
    let (control, inner_control) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).doing("making a socket")?;
    let pipe = || pipe_with(PipeFlags::CLOEXEC).doing("making a pipe");
    let ((inner_stdin, stdin), (stdout, inner_stdout), (stderr, inner_stderr)) = (pipe()?, pipe()?, pipe()?);
    let (report, inner_report) = pipe()?;

    // Copies with high numbers, so that putting one in its place cannot overwrite another.
    let high = |fd: &dyn AsFd| fcntl_dupfd_cloexec(fd.as_fd(), 64).doing("copying a descriptor");
    let places = [
        (high(&inner_stdin)?, 0),
        (high(&inner_stdout)?, 1),
        (high(&inner_stderr)?, 2),
        (high(&inner_control)?, CONTROL_FD),
        (high(&memory)?, STAGE_FD),
        (high(&inner_report)?, REPORT_FD),
    ];
    let pid = posix_spawn(program, &places).doing("starting the launcher")?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).doing("watching the launcher")?;
    Ok(Spawned { pid, pidfd, control, stdin, stdout, stderr, report })
}

/// The launcher gets no environment.
#[cfg(not(coverage))]
fn environment() -> Vec<CString> {
    Vec::new()
}

/// Where lines are counted, the launcher learns where to: a file that it maps at its start (`%c`), since it opens none
/// later and leaves by exec.
#[cfg(coverage)]
fn environment() -> Vec<CString> {
    let file = std::env::var("LLVM_PROFILE_FILE").unwrap_or_default();
    let file = file.replace("%p", "launcher").replace(".profraw", "%c.profraw");
    CString::new(format!("LLVM_PROFILE_FILE={file}")).into_iter().collect()
}

fn posix_spawn(program: &Path, places: &[(OwnedFd, i32)]) -> std::io::Result<Pid> {
    let program = CString::new(program.as_os_str().as_bytes())?;
    let argument = CString::new(INIT_ARGUMENT)?;
    let argv = [program.as_ptr().cast_mut(), argument.as_ptr().cast_mut(), std::ptr::null_mut()];
    let inherited = environment();
    let mut env: Vec<_> = inherited.iter().map(|pair| pair.as_ptr().cast_mut()).collect();
    env.push(std::ptr::null_mut());
    let check = |code: i32| if code == 0 { Ok(()) } else { Err(std::io::Error::from_raw_os_error(code)) };
    let mut pid = 0;
    // SAFETY: the actions are initialised before they are used and destroyed after; all strings and arrays live
    // through the calls and end with null.
    unsafe {
        let mut actions: libc::posix_spawn_file_actions_t = std::mem::zeroed();
        check(libc::posix_spawn_file_actions_init(&mut actions))?;
        let mut result = Ok(());
        for (fd, place) in places {
            result = result.and_then(|()| {
                check(libc::posix_spawn_file_actions_adddup2(&mut actions, fd.as_raw_fd(), *place))
            });
        }
        let result = result.and_then(|()| {
            let none = std::ptr::null();
            check(libc::posix_spawn(&mut pid, program.as_ptr(), &actions, none, argv.as_ptr(), env.as_ptr()))
        });
        libc::posix_spawn_file_actions_destroy(&mut actions);
        result?;
    }
    Pid::from_raw(pid).ok_or_else(|| std::io::Error::other("no process id"))
}
