//! What a program changed in its workspace, read from the upper layer of its overlay after its end.

use std::{collections::HashMap, os::fd::OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat};

use crate::{
    error::{Doing as _, SandboxError},
    fs::{Jail, JailPath, MAX_FILE_BYTES, RESERVED_PREFIX},
};

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A file was written.
    Written(JailPath, Vec<u8>),
    /// A file or folder is gone; one of the same name may be written again after this.
    Removed(JailPath),
    /// Something was written that no workspace may have.
    Rejected {
        /// Where.
        path: String,
        /// Why.
        why: String,
    },
}

/// The most bytes of changed files that one run may hand over.
const MAX_CHANGED_BYTES: u64 = 256 * 1024 * 1024;

/// Tells whether an entry is as it was: its kind, inode, size and times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    mode: u32,
    inode: u64,
    size_bytes: i64,
    modified: (i64, u64),
    changed: (i64, u64),
}

impl Mark {
    fn of(stat: &Stat) -> Self {
        Self {
            mode: stat.st_mode,
            inode: stat.st_ino,
            size_bytes: stat.st_size,
            modified: (stat.st_mtime, stat.st_mtime_nsec),
            changed: (stat.st_ctime, stat.st_ctime_nsec),
        }
    }
}

/// The entries of an upper layer as they were when it was last read.
#[derive(Debug, Clone, Default)]
pub struct Marks(HashMap<String, Mark>);

impl Marks {
    /// An entry as it was; nothing where there was none.
    pub fn of(&self, path: &JailPath) -> Option<Mark> {
        self.0.get(path.as_str()).copied()
    }
}

/// An entry as it is; nothing where there is none.
pub fn mark_of(upper: &OwnedFd, path: &JailPath) -> Option<Mark> {
    let inside = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let entry = rustix::fs::openat2(upper, path.as_str(), flags, Mode::empty(), inside).ok()?;
    rustix::fs::fstat(&entry).ok().map(|stat| Mark::of(&stat))
}

/// Reads all differences, in an order in which they can be applied. What stands there is hostile.
pub fn read(upper: &OwnedFd) -> Result<Vec<Change>, SandboxError> {
    since(upper, &mut Marks::default())
}

/// Reads the differences that came since the marks were taken, and takes them anew. What was written and is gone again
/// comes as removed.
pub fn since(upper: &OwnedFd, marks: &mut Marks) -> Result<Vec<Change>, SandboxError> {
    let mut walk = Walk {
        jail: Jail::from_fd(upper.try_clone().doing("opening an upper layer")?),
        changes: Vec::new(),
        left_bytes: MAX_CHANGED_BYTES,
        before: std::mem::take(&mut marks.0),
        now: HashMap::new(),
        folders: Vec::new(),
    };
    walk.folder(upper, "")?;
    while let Some((path, known)) = walk.folders.pop() {
        walk.inner(upper, path, known)?;
    }
    let Walk { changes, before, now, .. } = walk;
    let gone =
        before.keys().filter(|path| !now.contains_key(*path)).filter_map(|path| JailPath::file(path).ok());
    let mut gone: Vec<JailPath> = gone.collect();
    gone.sort();
    marks.0 = now;
    Ok(gone.into_iter().map(Change::Removed).chain(changes).collect())
}

struct Walk {
    jail: Jail,
    changes: Vec<Change>,
    left_bytes: u64,
    before: HashMap<String, Mark>,
    now: HashMap<String, Mark>,
    /// Folders to read, and whether they are known. They may stand in each other as deep as a path goes, so none is
    /// kept open while another is read.
    folders: Vec<(JailPath, bool)>,
}

impl Walk {
    fn folder(&mut self, folder: &OwnedFd, prefix: &str) -> Result<(), SandboxError> {
        let entries = Dir::read_from(folder).doing("listing an upper layer")?;
        for entry in entries {
            let entry = entry.doing("listing an upper layer")?;
            let raw = entry.file_name();
            if raw == c"." || raw == c".." {
                continue;
            }
            let Ok(name) = raw.to_str() else {
                self.reject(format!("{prefix}{}", raw.to_string_lossy()), "the name is not UTF-8");
                continue;
            };
            if prefix.is_empty() && name.starts_with(RESERVED_PREFIX) {
                continue; // the program itself, which the launcher put there
            }
            let path = format!("{prefix}{name}");
            let stat = match rustix::fs::statat(folder, raw, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                Err(error) => {
                    self.reject(path, error.to_string());
                    continue;
                }
            };
            let checked = match JailPath::file(&path) {
                Ok(checked) => checked,
                Err(error) => {
                    self.reject(path, error.to_string());
                    continue;
                }
            };
            let kind = FileType::from_raw_mode(stat.st_mode);
            let mark = Mark::of(&stat);
            let known = self.before.get(&path).copied();
            self.now.insert(path.clone(), mark);
            if known == Some(mark) && kind != FileType::Directory {
                continue;
            }
            match kind {
                FileType::CharacterDevice if stat.st_rdev == 0 => self.changes.push(Change::Removed(checked)),
                FileType::RegularFile => self.file(checked, stat.st_size as u64),
                FileType::Directory => {
                    let same = known.is_some_and(|known| known.inode == mark.inode);
                    self.folders.push((checked, same));
                }
                FileType::Symlink => self.reject(path, "SYMLINK_FORBIDDEN"),
                _ => self.reject(path, "PATH_FORBIDDEN"),
            }
        }
        Ok(())
    }

    fn inner(&mut self, upper: &OwnedFd, path: JailPath, known: bool) -> Result<(), SandboxError> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let inside = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        let inner = match rustix::fs::openat2(upper, path.as_str(), flags, Mode::empty(), inside) {
            Ok(inner) => inner,
            Err(error) => {
                self.reject(path.to_string(), error.to_string());
                return Ok(());
            }
        };
        let mut opaque = [0u8; 1];
        if !known
            && rustix::fs::fgetxattr(&inner, c"user.overlay.opaque", &mut opaque).is_ok_and(|n| n == 1)
            && opaque == *b"y"
        {
            // The folder took the place of another: nothing of the old one shows through.
            self.changes.push(Change::Removed(path.clone()));
        }
        self.folder(&inner, &format!("{path}/"))
    }

    fn file(&mut self, path: JailPath, size_bytes: u64) {
        if size_bytes > MAX_FILE_BYTES {
            return self.reject(path.to_string(), "FILE_TOO_LARGE");
        }
        if size_bytes > self.left_bytes {
            return self.reject(path.to_string(), "QUOTA_EXCEEDED");
        }
        match self.jail.read(&path) {
            Ok(content) => {
                self.left_bytes -= content.len() as u64;
                self.changes.push(Change::Written(path, content));
            }
            Err(error) => {
                self.reject(path.to_string(), error.reason().as_str_name().trim_start_matches("REASON_"))
            }
        }
    }

    fn reject(&mut self, path: String, why: impl Into<String>) {
        self.changes.push(Change::Rejected { path, why: why.into() });
    }
}
