//! The filter of system calls: what no program may ask the kernel for.
//!
//! Two filters lie on each other. The first is written by hand, since it answers differently: calls by x32 numbers
//! kill (they would slip past any list of numbers), `clone3` and calls newer than this list say "not implemented",
//! so that programs fall back to what can be looked at. The second says "not permitted" to a list.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, sock_filter,
};

use super::spec::Step;

#[cfg(target_arch = "x86_64")]
const ARCH: (TargetArch, u32) = (TargetArch::x86_64, 0xc000_003e);
#[cfg(target_arch = "aarch64")]
const ARCH: (TargetArch, u32) = (TargetArch::aarch64, 0xc000_00b7);

/// Calls from here on are newer than this list.
const FIRST_UNKNOWN: u32 = 463;

/// Both filters, compiled.
pub struct Filter {
    front: BpfProgram,
    list: BpfProgram,
}

impl Filter {
    /// Compiles the filters. Files in memory escape a mere watch over memory, and can be refused for that.
    pub fn compile(refuse_memory_files: bool) -> Result<Self, Step> {
        let list = SeccompFilter::new(
            rules(refuse_memory_files)
                .map_err(|_| Step { step: "writing the filter", errno: libc::EINVAL })?,
            SeccompAction::Allow,
            SeccompAction::Errno(libc::EPERM as u32),
            ARCH.0,
        )
        .and_then(BpfProgram::try_from)
        .map_err(|_| Step { step: "compiling the filter", errno: libc::EINVAL })?;
        Ok(Self { front: front(), list })
    }

    /// Puts both on this process, for good.
    pub fn apply(&self) -> Result<(), Step> {
        for program in [&self.front, &self.list] {
            seccompiler::apply_filter(program).map_err(|_| Step::last("seccomp"))?;
        }
        Ok(())
    }
}

/// The hand-written front check.
fn front() -> BpfProgram {
    const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
    const EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
    const AT_LEAST: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
    const RETURN: u16 = 0x06; // BPF_RET | BPF_K
    const KILL: u32 = 0x8000_0000;
    const NOT_IMPLEMENTED: u32 = 0x0005_0000 | libc::ENOSYS as u32;
    const ALLOW: u32 = 0x7fff_0000;
    let op = |code, jt, jf, k| sock_filter { code, jt, jf, k };
    vec![
        op(LOAD, 0, 0, 4), // the architecture
        op(EQUAL, 0, 4, ARCH.1),
        op(LOAD, 0, 0, 0), // the number
        op(AT_LEAST, 2, 0, 0x4000_0000),
        op(AT_LEAST, 2, 0, FIRST_UNKNOWN),
        op(EQUAL, 1, 2, libc::SYS_clone3 as u32),
        op(RETURN, 0, 0, KILL),
        op(RETURN, 0, 0, NOT_IMPLEMENTED),
        op(RETURN, 0, 0, ALLOW),
    ]
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

fn rules(refuse_memory_files: bool) -> Result<Rules, seccompiler::BackendError> {
    let mut rules: Rules = DENIED.iter().map(|number| (*number, Vec::new())).collect();
    if refuse_memory_files {
        rules.insert(libc::SYS_memfd_create, Vec::new());
    }
    let argument = |index, op, value| SeccompCondition::new(index, SeccompCmpArgLen::Dword, op, value);
    let bits = |index, mask: i64, value: i64| {
        SeccompCondition::new(
            index,
            SeccompCmpArgLen::Dword,
            SeccompCmpOp::MaskedEq(mask as u64),
            value as u64,
        )
    };
    // Namespaces of one's own.
    for flag in [
        libc::CLONE_NEWUSER,
        libc::CLONE_NEWNS,
        libc::CLONE_NEWPID,
        libc::CLONE_NEWNET,
        libc::CLONE_NEWIPC,
        libc::CLONE_NEWUTS,
        libc::CLONE_NEWCGROUP,
    ] {
        let flag = i64::from(flag);
        rules.entry(libc::SYS_clone).or_default().push(SeccompRule::new(vec![bits(0, flag, flag)?])?);
    }
    // Families of sockets: a network namespace does not hold vsock and others.
    let families = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];
    let others = families
        .iter()
        .map(|family| argument(0, SeccompCmpOp::Ne, *family as u64))
        .collect::<Result<_, _>>()?;
    let audit_and_others = vec![
        argument(0, SeccompCmpOp::Eq, libc::AF_NETLINK as u64)?,
        argument(2, SeccompCmpOp::Ne, libc::NETLINK_ROUTE as u64)?,
    ];
    rules.insert(libc::SYS_socket, vec![SeccompRule::new(others)?, SeccompRule::new(audit_and_others)?]);
    // Files that run with another's rights.
    let set_id = |index| -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
        [libc::S_ISUID, libc::S_ISGID]
            .iter()
            .map(|bit| SeccompRule::new(vec![bits(index, i64::from(*bit), i64::from(*bit))?]))
            .collect()
    };
    rules.insert(libc::SYS_fchmod, set_id(1)?);
    rules.insert(libc::SYS_fchmodat, set_id(2)?);
    rules.insert(libc::SYS_fchmodat2, set_id(2)?);
    // Devices.
    let devices = |index| -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
        [libc::S_IFCHR, libc::S_IFBLK]
            .iter()
            .map(|kind| SeccompRule::new(vec![bits(index, i64::from(libc::S_IFMT), i64::from(*kind))?]))
            .collect()
    };
    rules.insert(libc::SYS_mknodat, devices(2)?);
    #[cfg(target_arch = "x86_64")]
    {
        rules.insert(libc::SYS_chmod, set_id(1)?);
        rules.insert(libc::SYS_mknod, devices(1)?);
    }
    // Keys typed into somebody's terminal.
    let typed = [libc::TIOCSTI, libc::TIOCLINUX]
        .iter()
        .map(|request| SeccompRule::new(vec![argument(1, SeccompCmpOp::Eq, *request)?]))
        .collect::<Result<_, _>>()?;
    rules.insert(libc::SYS_ioctl, typed);
    Ok(rules)
}

/// Calls that are refused whatever their arguments.
const DENIED: &[i64] = &[
    // other processes
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_process_mrelease,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    // mounts and namespaces
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_fsopen,
    libc::SYS_fsmount,
    libc::SYS_fsconfig,
    libc::SYS_fspick,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_mount_setattr,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    457, // statmount
    458, // listmount
    // large attack surfaces of the kernel
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_userfaultfd,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_fanotify_init,
    libc::SYS_memfd_secret,
    libc::SYS_vmsplice,
    // memory of others, placement
    libc::SYS_move_pages,
    libc::SYS_migrate_pages,
    libc::SYS_mbind,
    libc::SYS_set_mempolicy,
    libc::SYS_set_mempolicy_home_node,
    // the machine itself
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_acct,
    libc::SYS_syslog,
    libc::SYS_vhangup,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_kexec_file_load,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_uselib,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ustat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_sysfs,
    #[cfg(target_arch = "x86_64")]
    libc::SYS__sysctl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lookup_dcookie,
];
