//! The file jail against everything that a program or a caller may put in its way (TX1).

#[path = "common/proof.rs"]
mod proof;

use std::{
    os::unix::{
        fs::{PermissionsExt as _, symlink},
        net::UnixListener,
    },
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use devstudio_sandbox::{
    SandboxError,
    fs::{Jail, JailPath, Kind, MAX_FILE_BYTES, WORK_DIR, remove_tree, walk},
};
use proof::{counts, figure};
use rustix::fs::{CWD, FileType, Mode, OFlags, RenameFlags};

fn jail() -> (tempfile::TempDir, Jail) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let jail = Jail::open(folder.path(), None).expect("a jail");
    (folder, jail)
}

fn path(raw: &str) -> JailPath {
    JailPath::file(raw).expect(raw)
}

fn read(jail: &Jail, raw: &str) -> Result<Vec<u8>, SandboxError> {
    JailPath::file(raw).and_then(|path| jail.read(&path))
}

#[test]
fn what_is_written_is_read_back_and_the_folders_are_made() {
    let (folder, jail) = jail();
    jail.write(&path("a/b/c.txt"), b"hello").expect("a write");
    assert_eq!(read(&jail, &format!("{WORK_DIR}/a/b/c.txt")).expect("a read"), b"hello");
    assert_eq!(std::fs::read(folder.path().join("a/b/c.txt")).expect("a file"), b"hello");
    jail.write(&path("a/b/c.txt"), b"again").expect("a second write");
    assert_eq!(read(&jail, "a/b/c.txt").expect("a read"), b"again");
    assert_eq!(jail.kind(&path("a")).expect("a kind"), Kind::Folder);
    let left: Vec<_> = std::fs::read_dir(folder.path().join("a/b")).expect("a listing").collect();
    assert_eq!(left.len(), 1, "no temporary file stays");
}

#[test]
fn exactly_512_kib_is_fine_and_one_byte_more_is_not() {
    let (folder, jail) = jail();
    let exact = vec![7u8; MAX_FILE_BYTES as usize];
    jail.write(&path("exact"), &exact).expect("524,288 bytes are allowed");
    assert_eq!(read(&jail, "exact").expect("a read").len(), 524_288);
    let more = vec![7u8; MAX_FILE_BYTES as usize + 1];
    let error = jail.write(&path("more"), &more).expect_err("524,289 bytes are too many");
    assert_eq!((error.details()["limit"].as_str(), error.details()["size"].as_str()), ("524288", "524289"));
    std::fs::write(folder.path().join("planted"), &more).expect("a large file");
    assert!(matches!(read(&jail, "planted"), Err(SandboxError::FileTooLarge { size_bytes: 524_289, .. })));
}

#[test]
fn links_of_every_kind_are_refused() {
    let (folder, jail) = jail();
    let outside = tempfile::tempdir().expect("another folder");
    std::fs::write(outside.path().join("secret"), "outside").expect("a secret");
    symlink(outside.path().join("secret"), folder.path().join("link")).expect("a link to a file");
    symlink(outside.path(), folder.path().join("dir")).expect("a link to a folder");
    symlink("link", folder.path().join("chain")).expect("a link to a link");
    symlink("/proc/self/root", folder.path().join("magic")).expect("a magic link");
    std::fs::hard_link(outside.path().join("secret"), folder.path().join("hard")).expect("a hard link");

    for name in ["link", "chain", "dir/secret", "magic/etc/passwd"] {
        assert!(matches!(read(&jail, name), Err(SandboxError::SymlinkForbidden { .. })), "read {name}");
        let written = jail.write(&path(name), b"x");
        assert!(matches!(written, Err(SandboxError::SymlinkForbidden { .. })), "write {name}: {written:?}");
    }
    assert!(matches!(read(&jail, "hard"), Err(SandboxError::PathForbidden { .. })));
    assert!(matches!(jail.write(&path("hard"), b"x"), Err(SandboxError::PathForbidden { .. })));
    assert!(jail.rename(&path("link"), &path("moved")).is_err());
    assert_eq!(std::fs::read(outside.path().join("secret")).expect("the secret"), b"outside");

    jail.remove(&path("link")).expect("the link itself can go");
    jail.remove(&path("dir")).expect("and the one to a folder");
    assert!(outside.path().join("secret").exists(), "what the links named stays");
}

#[test]
fn fifos_sockets_and_devices_are_refused_without_waiting() {
    let (folder, jail) = jail();
    rustix::fs::mknodat(CWD, folder.path().join("fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)
        .expect("a FIFO");
    let _listener = UnixListener::bind(folder.path().join("socket")).expect("a socket");
    let device = rustix::fs::mknodat(
        CWD,
        folder.path().join("device"),
        FileType::CharacterDevice,
        Mode::RUSR,
        rustix::fs::makedev(1, 5),
    );
    let mut names = vec!["fifo", "socket"];
    match device {
        Ok(()) => names.push("device"),
        Err(error) => {
            eprintln!("SKIPPED the device of fifos_sockets_and_devices_are_refused_without_waiting: {error}")
        }
    }
    for name in names {
        assert!(matches!(read(&jail, name), Err(SandboxError::PathForbidden { .. })), "{name}");
        assert!(matches!(jail.write(&path(name), b"x"), Err(SandboxError::PathForbidden { .. })), "{name}");
    }
    jail.write(&path("file"), b"x").expect("a file");
    assert!(matches!(read(&jail, "file/below"), Err(SandboxError::PathForbidden { .. })), "through a file");
    assert!(matches!(read(&jail, "none"), Err(SandboxError::NotFound { .. })));
}

#[test]
fn a_folder_that_is_swapped_with_a_link_at_every_moment_lets_nothing_out() {
    let (folder, jail) = jail();
    let outside = tempfile::tempdir().expect("another folder");
    std::fs::write(outside.path().join("f"), "OUTSIDE").expect("a secret");
    std::fs::create_dir(folder.path().join("d")).expect("a folder");
    std::fs::write(folder.path().join("d/f"), "inside").expect("a file");
    symlink(outside.path(), folder.path().join("evil")).expect("a link");

    let stop = Arc::new(AtomicBool::new(false));
    let swaps = Arc::new(AtomicUsize::new(0));
    let swapper = std::thread::spawn({
        let (stop, swaps, root) = (stop.clone(), swaps.clone(), folder.path().to_owned());
        move || {
            let (a, b) = (root.join("d"), root.join("evil"));
            while !stop.load(Ordering::Relaxed) {
                rustix::fs::renameat_with(CWD, &a, CWD, &b, RenameFlags::EXCHANGE).expect("an exchange");
                swaps.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    let rounds = counts(2_000, 100_000);
    let (mut inside, mut refused) = (0usize, 0usize);
    for round in 0..rounds {
        match read(&jail, "d/f") {
            Ok(content) => {
                assert_eq!(content, b"inside", "round {round}");
                inside += 1;
            }
            Err(_) => refused += 1,
        }
        if round % 4 == 0 {
            let _ = jail.write(&path("d/new"), b"x");
            let _ = jail.remove(&path("d/new"));
        }
    }
    stop.store(true, Ordering::Relaxed);
    swapper.join().expect("the swapper");
    assert!(!outside.path().join("new").exists(), "nothing was written outside");
    let swaps = swaps.load(Ordering::Relaxed);
    figure(
        "TX1",
        format!("{rounds} reads during {swaps} swaps: {inside} inside, {refused} refused, 0 outside"),
    );
    assert!(inside > 0 && refused > 0, "both sides of the race were seen");
}

#[test]
fn names_with_percent_signs_and_look_alikes_are_just_names() {
    let (folder, jail) = jail();
    for name in ["%2e%2e", "a\u{2215}b", "..x", "\u{ff0e}\u{ff0e}"] {
        jail.write(&path(name), b"x").expect(name);
        assert!(folder.path().join(name).exists(), "{name}");
    }
    jail.write(&path(&"y".repeat(255)), b"x").expect("255 bytes are allowed");
}

#[test]
fn moving_replaces_nothing_and_removing_takes_all() {
    let (folder, jail) = jail();
    jail.write(&path("a/one"), b"1").expect("a file");
    jail.write(&path("b"), b"2").expect("a file");
    assert!(matches!(jail.rename(&path("a/one"), &path("b")), Err(SandboxError::AlreadyExists { .. })));
    assert!(jail.rename(&path("a"), &path("a/inner")).is_err(), "not into itself");
    jail.rename(&path("a"), &path("c/d")).expect("a move");
    assert_eq!(read(&jail, "c/d/one").expect("a read"), b"1");
    std::fs::set_permissions(folder.path().join("b"), std::fs::Permissions::from_mode(0o000))
        .expect("a mode");
    jail.remove(&path("c")).expect("a removal");
    jail.remove(&path("b")).expect("a removal");
    jail.remove(&path("none/at/all")).expect("what is not there is fine");
    assert_eq!(std::fs::read_dir(folder.path()).expect("a listing").count(), 0);
}

/// Deeper than any path, and than a process has descriptors or a thread has stack.
#[test]
fn folders_in_folders_without_end_are_walked_and_removed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let place = folder.path().join("deep");
    std::fs::create_dir(&place).expect("a folder");
    let outside = tempfile::tempdir().expect("another folder");
    std::fs::write(outside.path().join("kept"), "kept").expect("a file");
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    let mut here = rustix::fs::open(&place, flags, Mode::empty()).expect("it is there");
    for _ in 0..30_000 {
        rustix::fs::mkdirat(&here, "d", Mode::RWXU).expect("a folder");
        rustix::fs::symlinkat(outside.path(), &here, "link").expect("a link");
        here = rustix::fs::openat(&here, "d", flags, Mode::empty()).expect("it is there");
    }
    drop(here);
    let mut seen = 0;
    assert!(!walk(&place, |_, _| seen += 1).expect("a walk"), "it says that there is more");
    assert!(seen > 2000, "{seen}");
    remove_tree(&place).expect("a removal");
    assert!(!place.exists());
    assert!(outside.path().join("kept").exists(), "no link was followed");
    remove_tree(&place).expect("what is not there is fine");
}

#[test]
fn ten_thousand_random_paths_never_leave_the_folder() {
    let (folder, jail) = jail();
    let pieces =
        ["..", ".", "a", "b", "/", "//", "\0", "%2e%2e", "/tmp/work", "/etc", "…", " ", "~", "\\", "\n"];
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let (mut allowed, rounds) = (0, 10_000);
    for _ in 0..rounds {
        let mut raw = String::new();
        for _ in 0..(state % 9) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            raw.push_str(pieces[(state % pieces.len() as u64) as usize]);
            if state & 0x100 != 0 {
                raw.push('/');
            }
        }
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        if let Ok(path) = JailPath::file(&raw) {
            let full = folder.path().join(path.as_str());
            assert!(
                full.starts_with(folder.path()) && !path.as_str().split('/').any(|part| part == ".."),
                "{raw:?}"
            );
            if jail.write(&path, b"x").is_ok() {
                assert!(Path::new(&full).exists(), "{raw:?}");
            }
            allowed += 1;
        }
    }
    figure("TX1", format!("{rounds} random paths: {allowed} allowed, all inside"));
}
