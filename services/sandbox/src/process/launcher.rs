//! The launcher: a program of ours that was started again to become a sandbox, step by step.
//!
//! It is a process of its own with one thread, so it may fork. It joins the control groups, gives up root, makes the
//! namespaces and forks the first process of the sandbox; that one builds the file system, waits for what is to run
//! there, mounts the workspace and forks the program. The first process ends with the program, or when the service's
//! end of the control socket closes; the kernel then ends everything else in its process namespace.

use std::{
    ffi::CString,
    fs,
    io::Read as _,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd},
};

use super::{
    filter::Filter,
    limits,
    mounts::{self, Trees},
    ports, pty,
    spec::{Ask, CONTROL_FD, Go, INNER_UID, Note, Payload, REPORT_FD, STAGE_FD, Stage, Step, check},
    wire,
};

/// Becomes a sandbox. Called first thing in `main` of a process that was started for it.
pub fn main() -> ! {
    if let Err(step) = launch() {
        fail(&step);
    }
    exit(0)
}

fn exit(code: i32) -> ! {
    // SAFETY: ends the process at once, on purpose without running destructors of a forked program.
    unsafe { libc::_exit(code) }
}

fn fail(step: &Step) -> ! {
    let note = Note::Failed { step: step.step.to_owned(), errno: step.errno };
    let _ = wire::tell(&note, &[]);
    exit(1)
}

fn launch() -> Result<(), Step> {
    limits::close_from(REPORT_FD as u32 + 1)?;
    let mut text = Vec::new();
    // SAFETY: the service gives the launcher this descriptor, and nobody else here has it.
    let mut file = unsafe { fs::File::from_raw_fd(STAGE_FD) };
    file.read_to_end(&mut text).map_err(|e| Step::of("reading the order", &e))?;
    drop(file);
    let stage: Stage =
        serde_json::from_slice(&text).map_err(|_| Step { step: "reading the order", errno: libc::EINVAL })?;

    for group in &stage.cgroups {
        fs::write(group.join("cgroup.procs"), "0").map_err(|e| Step::of("joining a control group", &e))?;
    }
    // Where the whole machine runs out of memory, programs go before services. Nothing depends on it.
    let _ = fs::write("/proc/self/oom_score_adj", "1000");
    let mut trees = None;
    let (uid, gid) = match stage.drop_to {
        Some((uid, gid)) => {
            trees = Some(Trees::take(&stage)?);
            // SAFETY: an empty list of groups may be null.
            check(unsafe { libc::setgroups(0, std::ptr::null()) }, "giving up groups")?;
            // SAFETY: these calls touch no memory.
            check(unsafe { libc::setresgid(gid, gid, gid) }, "giving up root")?;
            // SAFETY: as above.
            check(unsafe { libc::setresuid(uid, uid, uid) }, "giving up root")?;
            // SAFETY: as above. Without this /proc/self still belongs to root.
            check(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0) }, "giving up root")?;
            (uid, gid)
        }
        // SAFETY: these calls touch no memory and cannot fail.
        None => unsafe { (libc::getuid(), libc::getgid()) },
    };
    let namespaces = libc::CLONE_NEWUSER
        | libc::CLONE_NEWNS
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWNET
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWCGROUP;
    // SAFETY: the call touches no memory.
    check(unsafe { libc::unshare(namespaces) }, "making namespaces")?;
    let write = |name: &str, text: String| {
        fs::write(format!("/proc/self/{name}"), text).map_err(|e| Step::of("mapping the user", &e))
    };
    write("setgroups", "deny".to_owned())?;
    write("uid_map", format!("{INNER_UID} {uid} 1"))?;
    write("gid_map", format!("{INNER_UID} {gid} 1"))?;

    // SAFETY: this process has one thread.
    let child = check(unsafe { libc::fork() }, "making the first process")? as i32;
    if child == 0 {
        if let Err(step) = first(&stage, trees) {
            fail(&step);
        }
        exit(0)
    }
    drop(trees);
    // SAFETY: the call touches no memory.
    let pidfd =
        check(unsafe { libc::syscall(libc::SYS_pidfd_open, child, 0) }, "watching the first process")?;
    wire::tell(&Note::First, &[pidfd as i32])?;
    for fd in 0..=REPORT_FD {
        // SAFETY: nothing in this process uses these descriptors from here on.
        unsafe { libc::close(fd) };
    }
    // The service waits for this process, and so for the whole sandbox: the first process is reaped only when
    // nothing of its process namespace is left.
    let mut status = 0;
    // SAFETY: the pointer is to a live integer.
    while unsafe { libc::waitpid(child, &mut status, 0) } < 0
        && std::io::Error::last_os_error().kind() == std::io::ErrorKind::Interrupted
    {}
    exit(0)
}

/// The first process of the sandbox.
fn first(stage: &Stage, trees: Option<Trees>) -> Result<(), Step> {
    // SAFETY: prctl with these options reads no memory.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) };
    let trees = trees.map_or_else(|| Trees::take(stage), Ok)?;
    mounts::build(stage, trees)?;
    // SAFETY: the name lives through the call and has that length.
    check(unsafe { libc::sethostname(c"sandbox".as_ptr(), 7) }, "naming the host")?;
    loopback()?;
    let filter = Filter::compile(stage.refuse_memory_files)?;
    // What the program must not read from this process: its memory and its descriptors.
    // SAFETY: prctl with this option reads no memory.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) };
    let children = watch_children()?;
    let (told, tell) = pipe()?;
    let landlock_abi = limits::landlock_abi();
    wire::tell(&Note::Armed { landlock_abi }, &[])?;

    let Some((go, tree)) = wire::wait_for_go()? else { return Ok(()) }; // the service wants nothing of it any more
    let (upper, merged) = mounts::workspace(&go, tree, stage.copies.is_some())?;
    let terminal = go.terminal.map(pty::open).transpose()?;
    let mut fds = vec![upper.as_raw_fd(), merged.as_raw_fd()];
    fds.extend(terminal.as_ref().map(|terminal| terminal.outer.as_raw_fd()));
    wire::tell(&Note::Ready, &fds)?;
    drop((upper, merged));

    // SAFETY: this process has one thread.
    let payload = check(unsafe { libc::fork() }, "making the program's process")? as i32;
    if payload == 0 {
        drop((told, children));
        let inner = terminal.map(|terminal| terminal.inner);
        let step = start(&go, inner, &filter, landlock_abi, &tell).err();
        let step = step.unwrap_or(Step { step: "", errno: 0 });
        let text = format!("{} {}", step.errno, step.step);
        // SAFETY: the text lives through the call and has that length.
        unsafe { libc::write(tell.as_raw_fd(), text.as_ptr().cast(), text.len()) };
        exit(127)
    }
    drop((tell, terminal));
    for fd in [0, 1, 2, REPORT_FD] {
        // SAFETY: nothing in this process uses these descriptors from here on.
        unsafe { libc::close(fd) };
    }
    limits::capabilities()?;
    filter.apply()?;
    let mut failure = String::new();
    let failed = fs::File::from(told).read_to_string(&mut failure);
    if failed.is_ok() && !failure.is_empty() {
        let (errno, step) = failure.split_once(' ').unwrap_or(("0", "starting the program"));
        let note = Note::Failed { step: step.to_owned(), errno: errno.parse().unwrap_or(0) };
        return wire::tell(&note, &[]);
    }
    stand_watch(payload, &children)
}

/// Reaps and answers questions until the program has ended or the service is gone.
fn stand_watch(payload: i32, children: &OwnedFd) -> Result<(), Step> {
    loop {
        let wanted = |fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        let mut events = [wanted(CONTROL_FD), wanted(children.as_raw_fd())];
        // SAFETY: the array lives through the call and has that length.
        if unsafe { libc::poll(events.as_mut_ptr(), 2, -1) } < 0 {
            continue;
        }
        if events[0].revents != 0 {
            match wire::question()? {
                None => return Ok(()), // the service's end was closed
                Some(Ask::Dial { id, port }) => match ports::dial(port) {
                    Ok(socket) => wire::tell(&Note::Dialed { id, errno: 0 }, &[socket.as_raw_fd()])?,
                    Err(errno) => wire::tell(&Note::Dialed { id, errno }, &[])?,
                },
                Some(Ask::Ports) => wire::tell(&Note::Ports(ports::listening()), &[])?,
            }
        }
        if events[1].revents == 0 {
            continue;
        }
        let mut information = [0u8; 128];
        // SAFETY: the buffer lives through the call and has that length.
        unsafe { libc::read(children.as_raw_fd(), information.as_mut_ptr().cast(), information.len()) };
        loop {
            let mut status = 0;
            // SAFETY: an all-zero rusage is a valid one.
            let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
            // SAFETY: both pointers are to live values.
            let ended = unsafe { libc::wait4(-1, &mut status, libc::WNOHANG, &mut usage) };
            if ended <= 0 {
                break;
            }
            if ended == payload {
                let millis = |time: libc::timeval| time.tv_sec as u64 * 1000 + time.tv_usec as u64 / 1000;
                let note = Note::Ended {
                    exit_code: libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status)),
                    signal: libc::WIFSIGNALED(status).then(|| libc::WTERMSIG(status)),
                    cpu_ms: millis(usage.ru_utime) + millis(usage.ru_stime),
                    max_rss_bytes: usage.ru_maxrss as u64 * 1024,
                };
                return wire::tell(&note, &[]);
            }
        }
    }
}

/// The program's process: gives up what it must not have and becomes the program.
fn start(
    go: &Go,
    terminal: Option<OwnedFd>,
    filter: &Filter,
    landlock_abi: i32,
    tell: &OwnedFd,
) -> Result<(), Step> {
    // SAFETY: these calls touch no memory but the empty set of signals and the structure, which live long enough.
    unsafe {
        libc::setsid();
        libc::umask(0o022);
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut());
        // What the service was started with: a shell's background has it ignore Ctrl-C. By the kernel's own call, whose
        // structure is all zero, since libc keeps some signals for itself; two cannot be set.
        let by_itself = [0usize; 4];
        for signal in 1..=64i64 {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                by_itself.as_ptr(),
                std::ptr::null::<usize>(),
                size_of::<u64>(),
            );
        }
        libc::close(CONTROL_FD);
        libc::chdir(c"/tmp/work".as_ptr());
    }
    if let Some(terminal) = terminal {
        pty::make_own(&terminal)?;
    }
    limits::resources(&go.limits)?;
    limits::capabilities()?;
    if landlock_abi > 0 {
        limits::landlock()?;
    }
    match &go.payload {
        Payload::Program { argv } => {
            limits::close_from(3)?;
            let argv = c_strings(argv.iter().cloned())?;
            let env = c_strings(go.env.iter().map(|(key, value)| format!("{key}={value}")))?;
            let argv = pointers(&argv);
            let env = pointers(&env);
            filter.apply()?;
            // SAFETY: both are arrays of live C strings that end with null.
            unsafe { libc::execve(argv[0], argv.as_ptr(), env.as_ptr()) };
            Err(Step::last("starting the program"))
        }
        Payload::WasmWorker => {
            // SAFETY: both are descriptors of this process; the copy becomes the report.
            check(unsafe { libc::dup2(REPORT_FD, 3) }, "passing the report on")?;
            filter.apply()?;
            // SAFETY: this descriptor is not used again: it is what says that all went well.
            unsafe { libc::close(tell.as_raw_fd()) };
            // SAFETY: the call touches no memory of ours.
            unsafe { libc::syscall(libc::SYS_close_range, 4u32, u32::MAX, 0u32) };
            exit(crate::wasm::worker::main())
        }
    }
}

fn c_strings(texts: impl Iterator<Item = String>) -> Result<Vec<CString>, Step> {
    texts
        .map(|text| CString::new(text).map_err(|_| Step { step: "reading the order", errno: libc::EINVAL }))
        .collect()
}

fn pointers(texts: &[CString]) -> Vec<*const libc::c_char> {
    texts.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect()
}

/// A descriptor that is readable when a child has ended.
fn watch_children() -> Result<OwnedFd, Step> {
    // SAFETY: the set of signals is a live local value; the descriptor is new.
    unsafe {
        let mut ended: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut ended);
        libc::sigaddset(&mut ended, libc::SIGCHLD);
        libc::signal(libc::SIGCHLD, libc::SIG_DFL);
        libc::sigprocmask(libc::SIG_BLOCK, &ended, std::ptr::null_mut());
        let fd =
            check(libc::signalfd(-1, &ended, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK), "watching children")?;
        Ok(OwnedFd::from_raw_fd(fd as i32))
    }
}

fn pipe() -> Result<(OwnedFd, OwnedFd), Step> {
    let mut ends: [RawFd; 2] = [0; 2];
    // SAFETY: the array lives through the call; both descriptors are new.
    unsafe {
        check(libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC), "making a pipe")?;
        Ok((OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])))
    }
}

/// Brings the sandbox's own loopback up.
fn loopback() -> Result<(), Step> {
    // SAFETY: the request lives through the calls, names the interface and is closed again.
    unsafe {
        let socket =
            check(libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0), "loopback")? as i32;
        let mut request: libc::ifreq = std::mem::zeroed();
        request.ifr_name[0] = b'l' as libc::c_char;
        request.ifr_name[1] = b'o' as libc::c_char;
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
        let result = check(libc::ioctl(socket, libc::SIOCSIFFLAGS, &request), "loopback");
        libc::close(socket);
        result.map(drop)
    }
}
