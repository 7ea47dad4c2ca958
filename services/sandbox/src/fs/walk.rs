//! Folders whole: walked and removed, whatever a program put into them and however deep it goes.

use std::{
    ffi::{CStr, CString},
    os::fd::OwnedFd,
    path::Path,
};

use rustix::{
    fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat},
    io::Errno,
};

use super::{INSIDE, Jail, RESERVED_PREFIX, rand_u64};
use crate::error::{Doing as _, SandboxError};

/// How long a path may be by which a folder is opened; the kernel's limit is 4096.
const MAX_WALK_BYTES: usize = 4000;

/// Calls `found` for all that stands below a folder, with its path and what it is. Whoever put it there may be changing
/// it at this moment, and may have put folders in each other without end: no link is followed, and no folder is kept
/// open while another is read. Answers whether it came to the end of all.
pub fn walk(folder: &Path, mut found: impl FnMut(&[u8], &Stat)) -> Result<bool, SandboxError> {
    let doing = "listing a folder";
    let Jail { root, .. } = Jail::open(folder, None)?;
    let (mut folders, mut whole) = (vec![b".".to_vec()], true);
    while let Some(folder) = folders.pop() {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let inner = match rustix::fs::openat2(&root, &folder[..], flags, Mode::empty(), INSIDE) {
            Ok(inner) => inner,
            // It went, or something else took its place.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV | Errno::AGAIN) => continue,
            Err(error) => return Err(error).doing(doing),
        };
        for entry in Dir::read_from(&inner).doing(doing)? {
            let entry = entry.doing(doing)?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            let Ok(stat) = rustix::fs::statat(&inner, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            let path = [&folder[..], b"/", name.to_bytes()].concat();
            found(&path[2..], &stat);
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                match path.len() <= MAX_WALK_BYTES {
                    true => folders.push(path),
                    false => whole = false,
                }
            }
        }
    }
    Ok(whole)
}

/// Removes a folder with all in it, whatever that is and however deep it goes.
pub fn remove_tree(folder: &Path) -> Result<(), SandboxError> {
    let (Some(parent), Some(name)) = (folder.parent(), folder.file_name()) else {
        return Err(SandboxError::Internal(format!("{} cannot be removed", folder.display())));
    };
    let name =
        CString::new(name.as_encoded_bytes()).map_err(|error| SandboxError::Internal(error.to_string()))?;
    match rustix::fs::open(parent, OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
        Ok(parent) => remove_entry(&parent, &name),
        Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error).doing("removing a folder"),
    }
}

/// Removes an entry of an open folder without ever following a link. Folders in it are taken out of each other before
/// they go, so that it does not matter how deep they are.
pub(super) fn remove_entry(folder: &OwnedFd, name: &CStr) -> Result<(), SandboxError> {
    if unlink(folder, name)? {
        return Ok(());
    }
    let top = open_folder(folder, name)?;
    let mut goes_on = true;
    while goes_on {
        goes_on = false;
        each(&top, |name| {
            if unlink(&top, name)? {
                return Ok(());
            }
            goes_on = true;
            let inner = open_folder(&top, name)?;
            each(&inner, |deeper| {
                if unlink(&inner, deeper)? {
                    return Ok(());
                }
                let beside = format!("{RESERVED_PREFIX}{:016x}", rand_u64()?);
                rustix::fs::renameat(&inner, deeper, &top, beside).doing("removing a folder")
            })?;
            rustix::fs::unlinkat(&top, name, AtFlags::REMOVEDIR).doing("removing a folder")
        })?;
    }
    rustix::fs::unlinkat(folder, name, AtFlags::REMOVEDIR).doing("removing a folder")
}

/// Removes what is not a folder; answers whether it is gone.
fn unlink(folder: &OwnedFd, name: &CStr) -> Result<bool, SandboxError> {
    match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(Errno::ISDIR | Errno::PERM) => Ok(false),
        Err(error) => Err(error).doing("removing a file"),
    }
}

fn open_folder(folder: &OwnedFd, name: &CStr) -> Result<OwnedFd, SandboxError> {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(folder, name, flags, Mode::empty()).doing("opening a folder")
}

fn each(
    folder: &OwnedFd,
    mut found: impl FnMut(&CStr) -> Result<(), SandboxError>,
) -> Result<(), SandboxError> {
    for entry in Dir::read_from(folder).doing("listing a folder")? {
        let entry = entry.doing("listing a folder")?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            found(name)?;
        }
    }
    Ok(())
}
