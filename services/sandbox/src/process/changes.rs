//! What a program changed in its workspace, read from the upper layer of its overlay after its end.

use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags};

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

/// Reads all differences, in an order in which they can be applied. What stands there is hostile: folders may stand in
/// each other as deep as a path goes, so none is kept open while another is read.
pub fn read(upper: &OwnedFd) -> Result<Vec<Change>, SandboxError> {
    let mut walk = Walk {
        jail: Jail::from_fd(upper.try_clone().doing("opening an upper layer")?),
        changes: Vec::new(),
        left_bytes: MAX_CHANGED_BYTES,
        folders: Vec::new(),
    };
    walk.folder(upper, "")?;
    while let Some(path) = walk.folders.pop() {
        walk.inner(upper, path)?;
    }
    Ok(walk.changes)
}

struct Walk {
    jail: Jail,
    changes: Vec<Change>,
    left_bytes: u64,
    folders: Vec<JailPath>,
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
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::CharacterDevice if stat.st_rdev == 0 => self.changes.push(Change::Removed(checked)),
                FileType::RegularFile => self.file(checked, stat.st_size as u64),
                FileType::Directory => self.folders.push(checked),
                FileType::Symlink => self.reject(path, "SYMLINK_FORBIDDEN"),
                _ => self.reject(path, "PATH_FORBIDDEN"),
            }
        }
        Ok(())
    }

    fn inner(&mut self, upper: &OwnedFd, path: JailPath) -> Result<(), SandboxError> {
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
        if rustix::fs::fgetxattr(&inner, c"user.overlay.opaque", &mut opaque).is_ok_and(|n| n == 1)
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
