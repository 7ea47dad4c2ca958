//! What may come out of an archive: names that stay inside, ordinary files, each once, and not too much of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{Read, Write as _},
    os::unix::fs::FileExt as _,
    sync::Arc,
};

use super::{Order, whole, wrong};
use crate::{
    error::{Doing as _, SandboxError},
    fs::{JailPath, MAX_FILE_BYTES},
};

/// The most entries of an archive, those that are left out among them.
const MAX_ENTRIES: u64 = 100_000;
/// The most folders around a file.
const MAX_DEPTH: usize = 64;
/// What systems put into archives that is nobody's content.
const JUNK: [&str; 2] = ["__MACOSX", ".DS_Store"];

/// Takes what comes out of an archive, and refuses what may not.
pub(super) struct Sieve<'a> {
    order: &'a Order,
    spool: File,
    end: u64,
    buffer: Vec<u8>,
    entries: u64,
    files: BTreeMap<String, (u64, u64)>,
    folders: BTreeSet<String>,
}

/// What came out: where each file's content lies, and folders that stand for themselves.
#[derive(Debug)]
pub struct Unpacked {
    /// The files, by path.
    pub files: BTreeMap<JailPath, (u64, u64)>,
    /// The folders that the archive names.
    pub folders: BTreeSet<JailPath>,
    /// The contents.
    pub contents: Contents,
}

/// The contents of unpacked files, in a file without a name.
#[derive(Debug, Clone)]
pub struct Contents(Arc<File>);

impl Contents {
    /// One of them, by where it lies.
    pub fn read(&self, (at, length): (u64, u64)) -> Result<Vec<u8>, SandboxError> {
        let mut content = vec![0; length as usize];
        self.0.read_exact_at(&mut content, at).doing("reading what was unpacked")?;
        Ok(content)
    }
}

impl<'a> Sieve<'a> {
    pub(super) fn new(order: &'a Order) -> Result<Self, SandboxError> {
        let spool = tempfile::tempfile().doing("making a file to unpack into")?;
        let (files, folders) = (BTreeMap::new(), BTreeSet::new());
        Ok(Self { order, spool, end: 0, buffer: Vec::new(), entries: 0, files, folders })
    }

    /// The most bytes that the plain form of an archive within the limits has: contents, and a kilobyte an entry.
    pub(super) fn most_bytes(&self) -> u64 {
        self.order.limits.bytes.saturating_add(MAX_ENTRIES * 1024)
    }

    /// More came out than may.
    pub(super) fn too_much(&self) -> SandboxError {
        let limit = self.order.limits.bytes;
        SandboxError::QuotaExceeded { unit: "bytes", limit, used: self.end }
    }

    /// Counts an entry, whatever becomes of it.
    pub(super) fn count(&mut self) -> Result<(), SandboxError> {
        if self.order.cancel.is_cancelled() {
            return Err(SandboxError::Cancelled);
        }
        self.entries += 1;
        if self.entries > MAX_ENTRIES {
            return Err(whole(format!("has more than {MAX_ENTRIES} entries")));
        }
        Ok(())
    }

    /// The path that an entry's name stands for; none for what is left out, or for the archive's own folder.
    pub(super) fn path(&self, name: &str) -> Result<Option<String>, SandboxError> {
        let forbidden = |why| Err(SandboxError::PathForbidden { path: name.to_owned(), why });
        let bytes = name.as_bytes();
        if name.contains('\0') {
            return forbidden("contains a NUL character");
        }
        if name.contains('\\') {
            return forbidden("has a backslash in it");
        }
        if name.starts_with('/') || (bytes.len() > 1 && bytes[0].is_ascii_alphabetic() && bytes[1] == b':') {
            return forbidden("is outside the workspace");
        }
        let parts: Vec<&str> = name.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
        if parts.contains(&"..") {
            return forbidden("leads out of its folder");
        }
        if parts.len() > MAX_DEPTH {
            return forbidden("is nested too deep");
        }
        if parts.is_empty() || parts.iter().any(|part| JUNK.contains(part)) {
            return Ok(None);
        }
        let path = JailPath::file(&parts.join("/")).map_err(|error| error.of_entry(name))?;
        Ok(Some(path.to_string()))
    }

    /// Takes a folder.
    pub(super) fn folder(&mut self, name: &str, path: String) -> Result<(), SandboxError> {
        if self.files.contains_key(&path) {
            return Err(wrong(name, "is a file and a folder"));
        }
        self.folders.insert(path);
        let limit = self.order.limits.files;
        let used = self.folders.len() as u64;
        if used > limit {
            return Err(SandboxError::QuotaExceeded { unit: "folders", limit, used }.of_entry(name));
        }
        Ok(())
    }

    /// Takes a file. `declared` is the length that the archive says it has; what comes is counted all the same.
    pub(super) fn file(
        &mut self,
        name: &str,
        path: String,
        declared: u64,
        content: &mut dyn Read,
    ) -> Result<(), SandboxError> {
        let too_large = |size_bytes| {
            SandboxError::FileTooLarge { limit_bytes: MAX_FILE_BYTES, size_bytes }.of_entry(name)
        };
        if self.files.contains_key(&path) {
            return Err(wrong(name, "is there twice"));
        }
        if self.folders.contains(&path) {
            return Err(wrong(name, "is a file and a folder"));
        }
        let limit = self.order.limits.files;
        if self.files.len() as u64 >= limit {
            return Err(SandboxError::QuotaExceeded { unit: "files", limit, used: limit }.of_entry(name));
        }
        if declared > MAX_FILE_BYTES {
            return Err(too_large(declared));
        }
        self.buffer.clear();
        let read = content.take(MAX_FILE_BYTES + 1).read_to_end(&mut self.buffer);
        read.map_err(|error| wrong(name, format!("is damaged: {error}")))?;
        let length = self.buffer.len() as u64;
        if length > MAX_FILE_BYTES {
            return Err(too_large(length));
        }
        if length != declared {
            return Err(wrong(name, format!("is damaged: it has {length} bytes in place of {declared}")));
        }
        if self.end + length > self.order.limits.bytes {
            return Err(self.too_much().of_entry(name));
        }
        self.spool.write_all(&self.buffer).doing("unpacking an archive")?;
        self.files.insert(path, (self.end, length));
        self.end += length;
        Ok(())
    }

    /// All of it, in its place in the workspace.
    pub(super) fn finish(self) -> Result<Unpacked, SandboxError> {
        for path in self.files.keys().chain(&self.folders) {
            let mut above = path.match_indices('/').map(|(at, _)| &path[..at]);
            if let Some(file) = above.find(|above| self.files.contains_key(*above)) {
                return Err(wrong(path, format!("goes through {file:?}, which is a file")));
            }
        }
        let root = if self.order.strip_root { self.root() } else { String::new() };
        let placed = |path: &str| -> Result<Option<JailPath>, SandboxError> {
            let inner = path.strip_prefix(&root).unwrap_or_default().trim_start_matches('/');
            if inner.is_empty() {
                return Ok(None);
            }
            JailPath::file(format!("{}/{inner}", self.order.below).trim_start_matches('/'))
                .map(Some)
                .map_err(|error| error.of_entry(path))
        };
        let (mut files, mut folders) = (BTreeMap::new(), BTreeSet::new());
        for (path, place) in &self.files {
            if let Some(path) = placed(path)? {
                files.insert(path, *place);
            }
        }
        for path in &self.folders {
            folders.extend(placed(path)?);
        }
        Ok(Unpacked { files, folders, contents: Contents(Arc::new(self.spool)) })
    }

    /// The folder that holds everything; empty where there is none.
    fn root(&self) -> String {
        let mut all = self.files.keys().chain(&self.folders);
        let first = |path: &str| path.split('/').next().unwrap_or_default().to_owned();
        let Some(root) = all.next().map(|path| first(path)) else { return String::new() };
        match all.all(|path| first(path) == root) && !self.files.contains_key(&root) {
            true => root,
            false => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::Limits;

    fn order(strip_root: bool, below: &str) -> Order {
        Order {
            format: None,
            below: JailPath::folder(below).expect("a path"),
            strip_root,
            limits: Limits { files: 100, bytes: 1000 },
            cancel: Default::default(),
        }
    }

    fn paths(order: &Order, files: &[&str], folders: &[&str]) -> Result<Vec<String>, SandboxError> {
        let mut sieve = Sieve::new(order)?;
        for name in files {
            if let Some(path) = sieve.path(name)? {
                sieve.file(name, path, 1, &mut &b"x"[..])?;
            }
        }
        for name in folders {
            if let Some(path) = sieve.path(name)? {
                sieve.folder(name, path)?;
            }
        }
        let Unpacked { files, folders, .. } = sieve.finish()?;
        Ok(files.keys().chain(&folders).map(ToString::to_string).collect())
    }

    #[test]
    fn the_folder_that_holds_everything_is_left_out_only_where_there_is_one() {
        let (keep, strip) = (order(false, ""), order(true, ""));
        let one = ["top/a", "./top/deep/b", "__MACOSX/top/._a", "top/.DS_Store"];
        assert_eq!(paths(&keep, &one, &["top/"]).expect("fine"), ["top/a", "top/deep/b", "top"]);
        assert_eq!(paths(&strip, &one, &["top/"]).expect("fine"), ["a", "deep/b"]);
        assert_eq!(paths(&strip, &["a", "top/b"], &[]).expect("fine"), ["a", "top/b"]);
        assert_eq!(paths(&strip, &["topper/a", "top/b"], &[]).expect("fine"), ["top/b", "topper/a"]);
        assert_eq!(paths(&strip, &["top"], &[]).expect("fine"), ["top"]);
        assert_eq!(paths(&order(true, "x/y"), &["top/a"], &["top/e"]).expect("fine"), ["x/y/a", "x/y/e"]);
    }

    #[test]
    fn names_that_lead_out_are_refused_whatever_they_look_like() {
        let order = order(false, "");
        let inside = format!("{}/a", crate::fs::WORK_DIR);
        for name in ["../a", "a/../../b", "a/..", "/etc/passwd", &inside, "C:/a", "c:a", "a\\b", "a\0b"] {
            let error = paths(&order, &[name], &[]).expect_err(name);
            assert!(matches!(error, SandboxError::PathForbidden { .. }), "{name}: {error}");
        }
        let deep = "d/".repeat(65) + "f";
        assert!(paths(&order, &[&deep], &[]).is_err());
        assert!(paths(&order, &["a", "a/b"], &[]).is_err(), "through a file");
        assert!(paths(&order, &["a", "./a"], &[]).is_err(), "twice");
        assert!(paths(&order, &["a"], &["a/"]).is_err(), "a file and a folder");
    }
}
