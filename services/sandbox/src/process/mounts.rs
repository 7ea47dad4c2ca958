//! The file system that a program sees: a root of its own, the host's programs read-only, its workspace as an overlay.

use std::{
    ffi::CString,
    fs,
    os::{
        fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
        unix::fs::symlink,
    },
    path::{Path, PathBuf},
};

use super::spec::{Go, Lower, Stage, Step, check};
use crate::fs::WORK_DIR;

/// Where the new root is put together, over whatever is there; only the launcher's own mount namespace sees it.
const ROOT: &str = "/tmp";
/// Folders of the host's programs; links are copied, folders are bound.
const PROGRAM_FOLDERS: [&str; 7] = ["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32"];
/// What programs need of the host's /etc.
const ETC: [&str; 8] = [
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "alternatives",
    "ssl/certs",
    "ssl/openssl.cnf",
    "mime.types",
];

/// Folders of the host as trees that stand nowhere yet. Taken while the launcher may still walk to them.
pub struct Trees {
    copies: Option<OwnedFd>,
    expose: Vec<(PathBuf, OwnedFd)>,
}

impl Trees {
    /// Takes the trees that a sandbox needs.
    pub fn take(stage: &Stage) -> Result<Self, Step> {
        let copies =
            stage.copies.as_deref().map(|path| clone_tree(path, "taking the workspaces")).transpose()?;
        let expose = stage
            .expose
            .iter()
            .map(|path| Ok((path.clone(), clone_tree(path, "taking a runtime's folder")?)))
            .collect::<Result<_, Step>>()?;
        Ok(Self { copies, expose })
    }
}

/// Builds the new root and makes it the root. It has no workspace yet.
pub fn build(stage: &Stage, trees: Trees) -> Result<(), Step> {
    mount(None, "/", None, libc::MS_REC | libc::MS_PRIVATE, None, "making mounts private")?;
    tmpfs(ROOT, "mode=0755,size=1m,nr_inodes=4k")?;
    programs()?;
    for (place, tree) in &trees.expose {
        let inner = place.strip_prefix("/").unwrap_or(place).to_string_lossy().into_owned();
        folder(&inner)?;
        attach(tree, &inside(&inner))?;
        read_only(&inner, true)?;
    }
    etc()?;
    devices()?;
    folder("tmp")?;
    tmpfs(&inside("tmp"), &format!("mode=1777,size={},nr_inodes=10k", stage.tmp_bytes))?;
    for name in ["tmp/work", "tmp/home", ".stage", ".lower", ".copies"] {
        folder(name)?;
    }
    if let Some(copies) = &trees.copies {
        attach(copies, &inside(".copies"))?;
        read_only(".copies", true)?;
    }
    proc()?;
    drop(trees);
    enter()
}

/// The workspace, once it is known which: the host's copy below, what the program changes above, in memory of a fixed
/// size. Answers the upper layer and the view of both. Called inside of the new root.
pub fn workspace(go: &Go, tree: Option<OwnedFd>, copies: bool) -> Result<(OwnedFd, OwnedFd), Step> {
    let limits = &go.limits;
    tmpfs("/.stage", &format!("mode=0755,size={},nr_inodes={}", limits.disk_bytes, limits.disk_files + 8))?;
    for name in ["/.stage/upper", "/.stage/work"] {
        fs::create_dir(name).map_err(|e| Step::of("making a folder", &e))?;
    }
    let lower = match (&go.lower, tree) {
        (Lower::Tree, Some(tree)) => {
            attach(&tree, "/.lower")?;
            set_attributes("/.lower", false)?;
            "/.lower".to_owned()
        }
        (Lower::Copy(name), None) if copies && !name.contains(['/', ':', ',']) && !name.starts_with('.') => {
            format!("/.copies/{name}")
        }
        (Lower::None, None) => "/.lower".to_owned(),
        _ => return Err(Step { step: "taking the workspace", errno: libc::EINVAL }),
    };
    let options = format!("lowerdir={lower},upperdir=/.stage/upper,workdir=/.stage/work,userxattr");
    let kind = Some("overlay");
    mount(kind, WORK_DIR, kind, FLAGS, Some(&options), "mounting the workspace")?;
    let (upper, merged) = (open_folder("/.stage/upper")?, open_folder(WORK_DIR)?);
    // The overlay keeps its own hold on both.
    detach("/.stage")?;
    if go.lower == Lower::Tree {
        detach("/.lower")?;
    }
    if copies {
        detach("/.copies")?;
    }
    if let Some((name, text)) = &go.code {
        fs::write(format!("{WORK_DIR}/{name}"), text).map_err(|e| Step::of("writing the program", &e))?;
    }
    Ok((upper, merged))
}

fn open_folder(path: &str) -> Result<OwnedFd, Step> {
    let path = c_string(path)?;
    // SAFETY: the path is a live C string.
    let fd = check(
        unsafe { libc::open(path.as_ptr(), libc::O_DIRECTORY | libc::O_RDONLY | libc::O_CLOEXEC) },
        "opening the workspace",
    )?;
    // SAFETY: the descriptor was just opened and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// The host's /usr and what belongs to it.
fn programs() -> Result<(), Step> {
    for name in PROGRAM_FOLDERS {
        let host = Path::new("/").join(name);
        match fs::symlink_metadata(&host) {
            Ok(found) if found.is_symlink() => {
                let target = fs::read_link(&host).map_err(|e| Step::of("reading a link", &e))?;
                symlink(target, inside(name)).map_err(|e| Step::of("making a link", &e))?;
            }
            Ok(found) if found.is_dir() => {
                bind(&host, name)?;
                read_only(name, true)?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// An /etc of its own, with nothing of the host but what the dynamic linker and TLS need.
fn etc() -> Result<(), Step> {
    folder("etc/ssl")?;
    for (name, content) in [
        ("etc/passwd", "studio:x:1000:1000:studio:/tmp:/bin/sh\n"),
        ("etc/group", "studio:x:1000:\n"),
        ("etc/hosts", "127.0.0.1 localhost sandbox\n::1 localhost\n"),
        ("etc/hostname", "sandbox\n"),
        ("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n"),
        ("etc/resolv.conf", ""),
    ] {
        fs::write(inside(name), content).map_err(|e| Step::of("writing /etc", &e))?;
    }
    for name in ETC {
        let host = Path::new("/etc").join(name);
        // Followed on purpose: localtime is a link into /usr.
        if let Ok(host) = fs::canonicalize(&host) {
            let name = format!("etc/{name}");
            bind(&host, &name)?;
            read_only(&name, false)?;
        }
    }
    Ok(())
}

fn devices() -> Result<(), Step> {
    folder("dev")?;
    tmpfs(&inside("dev"), "mode=0755,size=64k,nr_inodes=64")?;
    for name in ["null", "zero", "full", "random", "urandom"] {
        bind(&Path::new("/dev").join(name), &format!("dev/{name}"))?;
    }
    folder("dev/pts")?;
    let options = "newinstance,ptmxmode=0666,mode=0620";
    // Terminals are devices.
    let flags = libc::MS_NOSUID | libc::MS_NOEXEC;
    mount(Some("devpts"), &inside("dev/pts"), Some("devpts"), flags, Some(options), "mounting /dev/pts")?;
    folder("dev/shm")?;
    tmpfs(&inside("dev/shm"), "mode=1777,size=64m,nr_inodes=4k")?;
    for (name, target) in [
        ("dev/ptmx", "pts/ptmx"),
        ("dev/fd", "/proc/self/fd"),
        ("dev/stdin", "/proc/self/fd/0"),
        ("dev/stdout", "/proc/self/fd/1"),
        ("dev/stderr", "/proc/self/fd/2"),
    ] {
        symlink(target, inside(name)).map_err(|e| Step::of("making a link", &e))?;
    }
    Ok(())
}

/// A /proc of the new process namespace without what tells of the host or changes it.
fn proc() -> Result<(), Step> {
    folder("proc")?;
    mount(Some("proc"), &inside("proc"), Some("proc"), FLAGS | libc::MS_NOEXEC, None, "mounting /proc")?;
    for name in ["keys", "key-users", "timer_list", "kcore", "config.gz", "sysrq-trigger", "cmdline", "kmsg"]
    {
        let place = format!("proc/{name}");
        if Path::new(&inside(&place)).exists() {
            mount(Some("/dev/null"), &inside(&place), None, libc::MS_BIND, None, "hiding a file of /proc")?;
        }
    }
    for name in ["sys", "bus", "fs", "irq"] {
        let place = format!("proc/{name}");
        if Path::new(&inside(&place)).exists() {
            mount(
                Some(&inside(&place)),
                &inside(&place),
                None,
                libc::MS_BIND | libc::MS_REC,
                None,
                "binding /proc",
            )?;
            read_only(&place, true)?;
        }
    }
    Ok(())
}

/// Makes the new root the root and lets go of the old one.
fn enter() -> Result<(), Step> {
    let root = c_string(ROOT)?;
    let here = c".";
    // SAFETY: all paths are live C strings.
    unsafe {
        check(libc::chdir(root.as_ptr()), "entering the new root")?;
        check(libc::syscall(libc::SYS_pivot_root, here.as_ptr(), here.as_ptr()), "pivot_root")?;
        check(libc::umount2(here.as_ptr(), libc::MNT_DETACH), "letting go of the old root")?;
        check(libc::chdir(c"/".as_ptr()), "entering the new root")?;
    }
    set_attributes("/", false)
}

const FLAGS: libc::c_ulong = libc::MS_NOSUID | libc::MS_NODEV;

fn inside(name: &str) -> String {
    format!("{ROOT}/{name}")
}

fn c_string(text: &str) -> Result<CString, Step> {
    CString::new(text).map_err(|_| Step { step: "reading a path", errno: libc::EINVAL })
}

fn folder(name: &str) -> Result<(), Step> {
    fs::create_dir_all(inside(name)).map_err(|e| Step::of("making a folder", &e))
}

fn tmpfs(place: &str, options: &str) -> Result<(), Step> {
    mount(Some("tmpfs"), place, Some("tmpfs"), FLAGS, Some(options), "mounting a tmpfs")
}

fn mount(
    source: Option<&str>,
    target: &str,
    kind: Option<&str>,
    flags: libc::c_ulong,
    options: Option<&str>,
    step: &'static str,
) -> Result<(), Step> {
    let source = c_string(source.unwrap_or("none"))?;
    let target = c_string(target)?;
    let kind = c_string(kind.unwrap_or("none"))?;
    let options = options.map(c_string).transpose()?;
    let data = options.as_ref().map_or(std::ptr::null(), |options| options.as_ptr().cast());
    // SAFETY: every pointer is to a live C string, or null where the call allows it.
    check(unsafe { libc::mount(source.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, data) }, step)
        .map(drop)
}

/// Binds a file or folder of the host to a place in the new root, making the place.
fn bind(host: &Path, name: &str) -> Result<(), Step> {
    if host.is_dir() {
        folder(name)?;
    } else {
        if let Some((parent, _)) = name.rsplit_once('/') {
            folder(parent)?;
        }
        fs::write(inside(name), "").map_err(|e| Step::of("making a place", &e))?;
    }
    let flags = libc::MS_BIND | libc::MS_REC;
    mount(Some(&host.to_string_lossy()), &inside(name), None, flags, None, "binding a folder of the host")
}

fn detach(place: &str) -> Result<(), Step> {
    let place = c_string(place)?;
    // SAFETY: the path is a live C string.
    check(unsafe { libc::umount2(place.as_ptr(), libc::MNT_DETACH) }, "letting go of a mount").map(drop)
}

/// A folder of the host as a tree that stands nowhere yet.
pub fn clone_tree(path: &Path, step: &'static str) -> Result<OwnedFd, Step> {
    const OPEN_TREE_CLONE: u32 = 1;
    let path = c_string(&path.to_string_lossy())?;
    let flags = OPEN_TREE_CLONE | libc::O_CLOEXEC as u32 | libc::AT_RECURSIVE as u32;
    // SAFETY: the path is a live C string.
    let fd =
        check(unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags) }, step)?;
    // SAFETY: the descriptor was just opened and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

fn attach(tree: &OwnedFd, place: &str) -> Result<(), Step> {
    const MOVE_MOUNT_F_EMPTY_PATH: u32 = 4;
    let place = c_string(place)?;
    // SAFETY: both paths are live C strings.
    check(
        unsafe {
            libc::syscall(
                libc::SYS_move_mount,
                tree.as_raw_fd(),
                c"".as_ptr(),
                libc::AT_FDCWD,
                place.as_ptr(),
                MOVE_MOUNT_F_EMPTY_PATH,
            )
        },
        "attaching a folder",
    )
    .map(drop)
}

fn read_only(name: &str, recursive: bool) -> Result<(), Step> {
    set_attributes(&inside(name), recursive)
}

/// Makes a mount (and those below it) read-only, without devices and set-user-id programs.
fn set_attributes(place: &str, recursive: bool) -> Result<(), Step> {
    #[repr(C)]
    struct Attributes {
        set: u64,
        clear: u64,
        propagation: u64,
        user_namespace: u64,
    }
    const RDONLY_NOSUID_NODEV: u64 = 1 | 2 | 4;
    let attributes = Attributes { set: RDONLY_NOSUID_NODEV, clear: 0, propagation: 0, user_namespace: 0 };
    let place = c_string(place)?;
    let flags = if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: path and attributes live through the call, and the size is that of the attributes.
    check(
        unsafe {
            libc::syscall(
                libc::SYS_mount_setattr,
                libc::AT_FDCWD,
                place.as_ptr(),
                flags,
                &attributes,
                size_of::<Attributes>(),
            )
        },
        "making a mount read-only",
    )
    .map(drop)
}
