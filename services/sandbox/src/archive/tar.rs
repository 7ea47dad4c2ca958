//! Unpacks tar. Entries are read raw: long names and extended headers are taken here, and no further than they may be.

use std::{
    cell::Cell,
    io::{self, Read},
    rc::Rc,
};

use tar::{Archive, Entry, EntryType, PaxExtensions};

use super::{sieve::Sieve, whole, wrong};
use crate::{error::SandboxError, fs::MAX_PATH_BYTES};

/// The most bytes of a long name, of which a path could only use a part.
const MAX_LONG_NAME_BYTES: u64 = 4 * MAX_PATH_BYTES as u64;
/// The most bytes of an extended header.
const MAX_EXTENDED_BYTES: u64 = 64 * 1024;
/// A tar consists of blocks of this length, and ends with one of zeros.
const BLOCK_BYTES: u64 = 512;

/// Unpacks all of it into the sieve.
pub(super) fn unpack(reader: impl Read, sieve: &mut Sieve<'_>) -> Result<(), SandboxError> {
    let seen =
        Rc::new(Seen { left: Cell::new(sieve.most_bytes()), zeros: Cell::new(0), full: Cell::new(false) });
    let mut archive = Archive::new(Counted { reader, seen: seen.clone() });
    let unpacked = entries(&mut archive, sieve).and_then(|()| {
        if seen.zeros.get() < BLOCK_BYTES {
            return Err(whole("is cut off: its end is missing"));
        }
        // what is compressed carries a check at its very end
        let drained = io::copy(&mut archive.into_inner(), &mut io::sink());
        drained.map(drop).map_err(|error| whole(format!("is damaged: {error}")))
    });
    if seen.full.get() { Err(sieve.too_much()) } else { unpacked }
}

fn entries(archive: &mut Archive<impl Read>, sieve: &mut Sieve<'_>) -> Result<(), SandboxError> {
    let broken = |error: io::Error| whole(format!("is damaged: {error}"));
    let mut next = Next::default();
    for entry in archive.entries().map_err(broken)?.raw(true) {
        sieve.count()?;
        let mut entry = entry.map_err(broken)?;
        match entry.header().entry_type() {
            EntryType::GNULongName => {
                let mut name = part(&mut entry, MAX_LONG_NAME_BYTES)?;
                name.truncate(name.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1));
                next.name = Some(name);
            }
            EntryType::XHeader => next.extend(&part(&mut entry, MAX_EXTENDED_BYTES)?)?,
            // A long target of a link, which is refused when it comes; words for all entries, such as a commit's id.
            EntryType::GNULongLink | EntryType::XGlobalHeader => {}
            _ => take(entry, std::mem::take(&mut next), sieve)?,
        }
    }
    if next.name.is_some() || next.size.is_some() {
        return Err(whole("is cut off after the name of an entry"));
    }
    Ok(())
}

/// What was said of the next entry.
#[derive(Default)]
struct Next {
    name: Option<Vec<u8>>,
    size: Option<u64>,
    sparse: bool,
}

impl Next {
    fn extend(&mut self, words: &[u8]) -> Result<(), SandboxError> {
        for word in PaxExtensions::new(words) {
            let word = word.map_err(|_| whole("has a damaged extended header"))?;
            match word.key_bytes() {
                b"path" => self.name = Some(word.value_bytes().to_vec()),
                b"size" => {
                    let size = word.value().ok().and_then(|size| size.parse().ok());
                    self.size = Some(size.ok_or_else(|| whole("has a damaged extended header"))?);
                }
                key => self.sparse |= key.starts_with(b"GNU.sparse."),
            }
        }
        Ok(())
    }
}

fn take(mut entry: Entry<'_, impl Read>, next: Next, sieve: &mut Sieve<'_>) -> Result<(), SandboxError> {
    let name = next.name.unwrap_or_else(|| entry.header().path_bytes().into_owned());
    let name = String::from_utf8(name)
        .map_err(|error| wrong(&String::from_utf8_lossy(error.as_bytes()), "has a name that is not UTF-8"))?;
    let kind = entry.header().entry_type();
    let size = entry.size();
    match kind {
        EntryType::Regular | EntryType::Continuous | EntryType::Directory => {}
        EntryType::Symlink | EntryType::Link => return Err(SandboxError::SymlinkForbidden { path: name }),
        EntryType::Char | EntryType::Block | EntryType::Fifo => {
            return Err(SandboxError::PathForbidden { path: name, why: "is not an ordinary file" });
        }
        EntryType::GNUSparse => return Err(wrong(&name, "is sparse, which is not read here")),
        _ => return Err(wrong(&name, "is of a kind that is not read here")),
    }
    if next.sparse {
        return Err(wrong(&name, "is sparse, which is not read here"));
    }
    if next.size.is_some_and(|said| said != size) {
        return Err(wrong(&name, "says two different lengths"));
    }
    let Some(path) = sieve.path(&name)? else { return Ok(()) };
    if kind == EntryType::Directory || name.ends_with('/') {
        if size > 0 {
            return Err(wrong(&name, "is a folder with a content"));
        }
        return sieve.folder(&name, path);
    }
    sieve.file(&name, path, size, &mut entry)
}

/// What an entry says of the next one, whole.
fn part(entry: &mut Entry<'_, impl Read>, most: u64) -> Result<Vec<u8>, SandboxError> {
    let size = entry.size();
    if size > most {
        return Err(whole(format!("has a name or extended header of {size} bytes")));
    }
    let mut content = Vec::with_capacity(size as usize);
    entry.read_to_end(&mut content).map_err(|error| whole(format!("is damaged: {error}")))?;
    if content.len() as u64 != size {
        return Err(whole("is cut off"));
    }
    Ok(content)
}

/// What a reader has seen.
struct Seen {
    left: Cell<u64>,
    zeros: Cell<u64>,
    full: Cell<bool>,
}

/// Counts what really comes, however it is compressed, and stops where it is too much.
struct Counted<R> {
    reader: R,
    seen: Rc<Seen>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        let Some(left) = self.seen.left.get().checked_sub(read as u64) else {
            self.seen.full.set(true);
            return Err(io::Error::other("more comes out than may"));
        };
        self.seen.left.set(left);
        // no more than a block of them matters
        let last = &buffer[read.saturating_sub(BLOCK_BYTES as usize)..read];
        let zeros = last.iter().rev().take_while(|byte| **byte == 0).count();
        let before = if zeros == read { self.seen.zeros.get() } else { 0 };
        self.seen.zeros.set(before + zeros as u64);
        Ok(read)
    }
}
