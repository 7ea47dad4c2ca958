//! The file jail: paths that cannot leave their folder, ordinary files only, 512 KiB each, written atomically.
//!
//! Whatever stands in the folder is taken to be hostile: a program may have put it there, and may be changing it
//! at this moment. So no path is checked first and used later. Every step is an `openat2` that cannot leave the
//! folder or follow a link, every file is looked at through the very handle that is then read.

mod walk;

use std::{
    ffi::CString,
    fs::File,
    io::{Read as _, Write as _},
    os::fd::{AsFd, AsRawFd as _, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{AtFlags, CWD, FileType, Mode, OFlags, RenameFlags, ResolveFlags, Stat},
    io::Errno,
};

use self::walk::remove_entry;
pub use self::walk::{remove_tree, walk};
use crate::error::{Doing as _, SandboxError};

/// The most bytes of a file.
pub const MAX_FILE_BYTES: u64 = 512 * 1024;
/// The most bytes of a path.
pub const MAX_PATH_BYTES: usize = 1024;
/// The most bytes of a part of a path.
pub const MAX_NAME_BYTES: usize = 255;
/// Where programs see their workspace; taken as a prefix of paths.
pub const WORK_DIR: &str = "/tmp/work";
/// How names begin that the sandbox keeps for itself.
pub const RESERVED_PREFIX: &str = ".devstudio-";

/// A path in a workspace: relative, normalised, checked. Empty is the workspace itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JailPath(String);

impl JailPath {
    /// Checks and normalises a path; the whole workspace is refused.
    pub fn file(raw: &str) -> Result<Self, SandboxError> {
        let path = Self::folder(raw)?;
        if path.is_root() {
            return Err(forbidden(raw, "names the workspace itself"));
        }
        Ok(path)
    }

    /// Checks and normalises a path that may be the whole workspace.
    pub fn folder(raw: &str) -> Result<Self, SandboxError> {
        if raw.len() > MAX_PATH_BYTES {
            return Err(too_long(format!("a path has at most {MAX_PATH_BYTES} bytes")));
        }
        if raw.contains('\0') {
            return Err(forbidden(raw, "contains a NUL character"));
        }
        let relative = match raw.strip_prefix(WORK_DIR) {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => rest,
            _ if raw.starts_with('/') => return Err(forbidden(raw, "is outside the workspace")),
            _ => raw,
        };
        let mut parts: Vec<&str> = Vec::new();
        for part in relative.split('/') {
            match part {
                "" | "." => {}
                ".." if parts.pop().is_none() => return Err(forbidden(raw, "leads out of the workspace")),
                ".." => {}
                name if name.len() > MAX_NAME_BYTES => {
                    return Err(too_long(format!("a part of a path has at most {MAX_NAME_BYTES} bytes")));
                }
                name if name.starts_with(RESERVED_PREFIX) => {
                    return Err(forbidden(raw, "uses a name that the sandbox keeps for itself"));
                }
                name => parts.push(name),
            }
        }
        Ok(Self(parts.join("/")))
    }

    /// The workspace itself.
    pub fn root() -> Self {
        Self(String::new())
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// It names the workspace itself.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// It is `other` or stands below it.
    pub fn is_within(&self, other: &Self) -> bool {
        other.is_root()
            || self.0.strip_prefix(&other.0).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// The folder it stands in, and its name there.
    fn split(&self) -> (&str, &str) {
        self.0.rsplit_once('/').unwrap_or(("", &self.0))
    }
}

impl std::fmt::Display for JailPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

fn forbidden(path: &str, why: &'static str) -> SandboxError {
    SandboxError::PathForbidden { path: path.to_owned(), why }
}

fn too_long(why: String) -> SandboxError {
    SandboxError::Invalid { pointer: "/path", keyword: "maxLength", why }
}

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An ordinary file, with its length.
    File {
        /// Its length.
        size_bytes: u64,
    },
    /// A folder.
    Folder,
}

/// A folder that paths cannot leave.
#[derive(Debug)]
pub struct Jail {
    root: OwnedFd,
    owner: Option<(u32, u32)>,
}

impl Jail {
    /// Opens a folder that is there. `owner` (uid, gid) is given to what is written, where it is set.
    pub fn open(folder: &Path, owner: Option<(u32, u32)>) -> Result<Self, SandboxError> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
        let root = rustix::fs::open(folder, flags, Mode::empty()).doing("opening a workspace")?;
        Ok(Self { root, owner })
    }

    /// Takes a folder that somebody else opened.
    pub fn from_fd(root: OwnedFd) -> Self {
        Self { root, owner: None }
    }

    /// Opens the folder's entry without opening what it names: no FIFO blocks, no device is touched.
    fn look(&self, path: &JailPath) -> Result<(OwnedFd, Stat), SandboxError> {
        let name = if path.is_root() { "." } else { path.as_str() };
        let handle = resolve(&self.root, name, OFlags::PATH | OFlags::NOFOLLOW, path)?;
        let stat = rustix::fs::fstat(&handle).doing("looking at a file")?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
            return Err(SandboxError::SymlinkForbidden { path: path.to_string() });
        }
        Ok((handle, stat))
    }

    /// What stands at a path; refuses everything but ordinary files and folders.
    pub fn kind(&self, path: &JailPath) -> Result<Kind, SandboxError> {
        let (_, stat) = self.look(path)?;
        kind_of(&stat, path)
    }

    /// Reads a whole file.
    pub fn read(&self, path: &JailPath) -> Result<Vec<u8>, SandboxError> {
        let (handle, stat) = self.look(path)?;
        let Kind::File { size_bytes } = kind_of(&stat, path)? else {
            return Err(forbidden(path.as_str(), "is a folder"));
        };
        if size_bytes > MAX_FILE_BYTES {
            return Err(too_large(size_bytes));
        }
        let again = format!("/proc/self/fd/{}", handle.as_raw_fd());
        let file =
            rustix::fs::open(again, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty())
                .doing("opening a file")?;
        let mut content = Vec::with_capacity(size_bytes as usize);
        File::from(file).take(MAX_FILE_BYTES + 1).read_to_end(&mut content).doing("reading a file")?;
        if content.len() as u64 > MAX_FILE_BYTES {
            return Err(too_large(content.len() as u64));
        }
        Ok(content)
    }

    /// Refuses what a write to `path` would have to refuse, without writing.
    pub fn check_target(&self, path: &JailPath) -> Result<(), SandboxError> {
        match self.kind(path) {
            Ok(Kind::File { .. }) | Err(SandboxError::NotFound { .. }) => Ok(()),
            Ok(Kind::Folder) => Err(forbidden(path.as_str(), "is a folder")),
            Err(error) => Err(error),
        }
    }

    /// Writes a whole file and the folders above it; it appears at once or not at all.
    pub fn write(&self, path: &JailPath, content: &[u8]) -> Result<(), SandboxError> {
        if content.len() as u64 > MAX_FILE_BYTES {
            return Err(too_large(content.len() as u64));
        }
        self.check_target(path)?;
        let (folder, name) = path.split();
        let folder = self.make_folders(folder, path)?;
        let temporary = format!("{RESERVED_PREFIX}{:016x}", rand_u64()?);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&folder, &temporary, flags, Mode::from_raw_mode(0o644))
            .doing("making a file")?;
        let written = self
            .own(&file)
            .and_then(|()| File::from(file).write_all(content).doing("writing a file"))
            .and_then(|()| {
                rustix::fs::renameat(&folder, &temporary, &folder, name).map_err(|e| refused(e, path))
            });
        if written.is_err() {
            // It may be gone already; there is nothing more to do about it.
            let _ = rustix::fs::unlinkat(&folder, &temporary, AtFlags::empty());
        }
        written
    }

    /// Makes a folder and those above it.
    pub fn make_folder(&self, path: &JailPath) -> Result<(), SandboxError> {
        self.make_folders(path.as_str(), path).map(drop)
    }

    fn make_folders(&self, folder: &str, path: &JailPath) -> Result<OwnedFd, SandboxError> {
        let mut here = self.root.try_clone().doing("opening a workspace")?;
        for name in folder.split('/').filter(|name| !name.is_empty()) {
            let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::NOFOLLOW;
            here = match resolve(&here, name, flags, path) {
                Err(SandboxError::NotFound { .. }) => {
                    match rustix::fs::mkdirat(&here, name, Mode::from_raw_mode(0o755)) {
                        Ok(()) | Err(Errno::EXIST) => {}
                        Err(error) => return Err(refused(error, path)),
                    }
                    let made = resolve(&here, name, flags, path)?;
                    self.own(&made)?;
                    made
                }
                found => found?,
            };
        }
        Ok(here)
    }

    fn own(&self, handle: &impl AsFd) -> Result<(), SandboxError> {
        match self.owner {
            Some((uid, gid)) => {
                let (uid, gid) = (rustix::fs::Uid::from_raw(uid), rustix::fs::Gid::from_raw(gid));
                rustix::fs::fchown(handle, Some(uid), Some(gid)).doing("giving a file to its owner")
            }
            None => Ok(()),
        }
    }

    /// Removes a file or a folder with all in it, whatever that is. What is not there is fine.
    pub fn remove(&self, path: &JailPath) -> Result<(), SandboxError> {
        let (folder, name) = path.split();
        let folder = if folder.is_empty() { "." } else { folder };
        match resolve(&self.root, folder, OFlags::DIRECTORY | OFlags::RDONLY, path) {
            Ok(folder) => {
                let name =
                    CString::new(name).map_err(|_| forbidden(path.as_str(), "contains a NUL character"))?;
                remove_entry(&folder, &name)
            }
            Err(SandboxError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Moves a file or folder; refuses to replace anything.
    pub fn rename(&self, from: &JailPath, to: &JailPath) -> Result<(), SandboxError> {
        self.kind(from)?;
        let (from_folder, from_name) = from.split();
        let from_folder = if from_folder.is_empty() { "." } else { from_folder };
        let from_folder = resolve(&self.root, from_folder, OFlags::DIRECTORY | OFlags::RDONLY, from)?;
        let (to_folder, to_name) = to.split();
        let to_folder = self.make_folders(to_folder, to)?;
        rustix::fs::renameat_with(&from_folder, from_name, &to_folder, to_name, RenameFlags::NOREPLACE)
            .map_err(|error| refused(error, to))
    }
}

/// Beneath where it starts, over no link of any kind and no mount.
const INSIDE: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);

/// `openat2` that stays beneath `root`, follows no link of any kind and crosses no mount.
fn resolve(root: &OwnedFd, name: &str, flags: OFlags, path: &JailPath) -> Result<OwnedFd, SandboxError> {
    for _ in 0..64 {
        match rustix::fs::openat2(root, name, flags | OFlags::CLOEXEC, Mode::empty(), INSIDE) {
            // Something was renamed during the walk and the kernel cannot tell whether it stayed inside.
            Err(Errno::AGAIN) => {}
            result => return result.map_err(|error| refused(error, path)),
        }
    }
    Err(forbidden(path.as_str(), "is being moved about"))
}

fn refused(error: Errno, path: &JailPath) -> SandboxError {
    match error {
        Errno::NOENT => SandboxError::NotFound { what: "file" },
        Errno::LOOP => SandboxError::SymlinkForbidden { path: path.to_string() },
        Errno::XDEV => forbidden(path.as_str(), "leads out of the workspace"),
        Errno::NOTDIR => forbidden(path.as_str(), "goes through something that is not a folder"),
        Errno::ISDIR => forbidden(path.as_str(), "is a folder"),
        Errno::EXIST | Errno::NOTEMPTY => SandboxError::AlreadyExists { what: path.to_string() },
        Errno::INVAL => forbidden(path.as_str(), "cannot be moved into itself"),
        Errno::NOSPC | Errno::DQUOT => SandboxError::DiskFull,
        Errno::NAMETOOLONG => too_long("the path is too long".to_owned()),
        other => SandboxError::Io { doing: "opening a file", source: other.into() },
    }
}

fn kind_of(stat: &Stat, path: &JailPath) -> Result<Kind, SandboxError> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Ok(Kind::Folder),
        FileType::RegularFile if stat.st_nlink == 1 => Ok(Kind::File { size_bytes: stat.st_size as u64 }),
        FileType::RegularFile => Err(forbidden(path.as_str(), "has more than one name")),
        FileType::Symlink => Err(SandboxError::SymlinkForbidden { path: path.to_string() }),
        _ => Err(forbidden(path.as_str(), "is not an ordinary file")),
    }
}

fn too_large(size_bytes: u64) -> SandboxError {
    SandboxError::FileTooLarge { limit_bytes: MAX_FILE_BYTES, size_bytes }
}

fn rand_u64() -> Result<u64, SandboxError> {
    let mut bytes = [0u8; 8];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()).doing("drawing a number")?;
    Ok(u64::from_ne_bytes(bytes))
}

/// Makes a folder of our own (0700), refusing one that a stranger or a link put in its place.
pub fn private_folder(path: &Path) -> Result<(), SandboxError> {
    own_folder(path, 0o700)
}

/// Makes a folder of our own with these rights, refusing one that a stranger or a link put in its place.
pub fn own_folder(path: &Path, mode: u32) -> Result<(), SandboxError> {
    match rustix::fs::mkdirat(CWD, path, Mode::from_raw_mode(0o700)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error).doing("making a private folder"),
    }
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
    let handle = rustix::fs::open(path, flags, Mode::empty()).doing("opening a private folder")?;
    let stat = rustix::fs::fstat(&handle).doing("looking at a private folder")?;
    if stat.st_uid != rustix::process::geteuid().as_raw() {
        return Err(SandboxError::Internal(format!("{} belongs to somebody else", path.display())));
    }
    rustix::fs::fchmod(&handle, Mode::from_raw_mode(mode)).doing("closing a private folder")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_normalised() {
        let inside = format!("{WORK_DIR}/a/b");
        for (raw, normal) in [
            ("a.py", "a.py"),
            ("./a//b/./c", "a/b/c"),
            ("a/../b", "b"),
            (&inside, "a/b"),
            ("%2e%2e/x", "%2e%2e/x"),
            ("a\u{2215}b", "a\u{2215}b"),
        ] {
            assert_eq!(
                JailPath::file(raw).map(|path| path.to_string()).ok().as_deref(),
                Some(normal),
                "{raw}"
            );
        }
        assert!(JailPath::folder("/tmp/work").is_ok_and(|path| path.is_root()));
        assert!(JailPath::folder("").is_ok_and(|path| path.is_root()));
    }

    #[test]
    fn paths_out_of_the_workspace_are_forbidden() {
        let around = format!("{WORK_DIR}/../x");
        for raw in [
            "../x",
            "a/../../b",
            "/etc/passwd",
            "/var/tmp/x",
            "/tmp/../etc/x",
            "/tmpx/a",
            "/tmp/workx/a",
            &around,
            "a\0b",
            "..",
            ".",
            "",
            "/tmp/work",
            ".devstudio-x",
        ] {
            let error = JailPath::file(raw).expect_err(raw);
            assert!(matches!(error, SandboxError::PathForbidden { .. }), "{raw}: {error}");
        }
    }

    #[test]
    fn names_that_are_too_long_break_a_rule_of_their_field() {
        assert!(JailPath::file(&"x".repeat(255)).is_ok());
        for raw in ["x".repeat(256), "x/".repeat(600)] {
            assert!(matches!(JailPath::file(&raw), Err(SandboxError::Invalid { .. })));
        }
    }

    #[test]
    fn a_path_knows_what_it_is_within() {
        let path = |raw| JailPath::folder(raw).expect("a good path");
        assert!(path("a/b").is_within(&path("a")));
        assert!(path("a").is_within(&path("a")));
        assert!(path("a").is_within(&JailPath::root()));
        assert!(!path("ab").is_within(&path("a")));
    }
}
