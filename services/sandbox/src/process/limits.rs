//! What a program's process gives up right before it starts: capabilities, resources, the file system, descriptors.

use landlock::{
    ABI, Access as _, AccessFs, CompatLevel, Compatible as _, PathBeneath, PathFd, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, Scope,
};

use super::spec::{Limits, Step, check};

/// Sets the limits of resources.
pub fn resources(limits: &Limits) -> Result<(), Step> {
    const MIB: u64 = 1024 * 1024;
    let set = |resource, value: u64| {
        let limit = libc::rlimit { rlim_cur: value, rlim_max: value };
        // SAFETY: the pointer is to a live rlimit.
        check(unsafe { libc::setrlimit(resource, &limit) }, "setting limits").map(drop)
    };
    set(libc::RLIMIT_CORE, 0)?;
    set(libc::RLIMIT_NOFILE, 1024)?;
    set(libc::RLIMIT_FSIZE, limits.disk_bytes)?;
    set(libc::RLIMIT_MEMLOCK, 8 * MIB)?;
    set(libc::RLIMIT_MSGQUEUE, 0)?;
    // Counted in the sandbox's own user namespace, where the launcher and the first process count as well.
    set(libc::RLIMIT_NPROC, limits.processes + 2)?;
    match limits.data_bytes {
        Some(bytes) => set(libc::RLIMIT_DATA, bytes),
        None => Ok(()),
    }
}

/// Gives up every capability, also those that a program started later could get.
pub fn capabilities() -> Result<(), Step> {
    // SAFETY: prctl with these options reads no memory.
    unsafe {
        for capability in 0..64 {
            if libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) < 0 {
                break;
            }
        }
        // All securebits and their locks: no capabilities for a user id of 0, now or ever.
        libc::prctl(libc::PR_SET_SECUREBITS, 0x2f, 0, 0, 0);
        libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    }
    #[repr(C)]
    struct Header {
        version: u32,
        pid: i32,
    }
    let header = Header { version: 0x2008_0522, pid: 0 };
    let nothing = [[0u32; 3]; 2];
    // SAFETY: header and sets have the layout of version 3 of the call and live through it.
    check(unsafe { libc::syscall(libc::SYS_capset, &header, &nothing) }, "giving up capabilities")?;
    no_new_privileges()
}

fn no_new_privileges() -> Result<(), Step> {
    // SAFETY: prctl with this option reads no memory.
    check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }, "no_new_privs").map(drop)
}

/// The version of Landlock that this kernel enforces; 0 where it has none.
pub fn landlock_abi() -> i32 {
    // SAFETY: with these arguments the call only answers a number.
    let abi =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0usize, 1u32) };
    abi.clamp(0, i64::from(i32::MAX)) as i32
}

/// Reading everywhere in the sandbox's view, writing in its own places only; no signals and sockets to outside.
pub fn landlock() -> Result<(), Step> {
    let abi = ABI::V6;
    let failed = |_| Step { step: "landlock", errno: libc::EINVAL };
    let ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))
        .and_then(|rules| rules.scope(Scope::AbstractUnixSocket | Scope::Signal))
        .and_then(Ruleset::create)
        .map_err(failed)?;
    let mut ruleset = ruleset;
    let device = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::ReadDir | AccessFs::IoctlDev;
    for (path, access) in [
        ("/", AccessFs::from_read(abi)),
        ("/tmp", AccessFs::from_all(abi)),
        ("/dev/shm", AccessFs::from_all(abi)),
        ("/dev", device),
    ] {
        let folder = PathFd::new(path).map_err(|_| Step::last("landlock"))?;
        ruleset = ruleset.add_rule(PathBeneath::new(folder, access)).map_err(failed)?;
    }
    ruleset.restrict_self().map_err(failed).map(drop)
}

/// Marks every descriptor from `first` on to be closed when the program starts.
pub fn close_from(first: u32) -> Result<(), Step> {
    // SAFETY: the call touches no memory of ours.
    check(
        unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) },
        "closing descriptors",
    )
    .map(drop)
}
