//! Unpacks zip. Entries are read one by one, by their central directory, whose words the local headers must repeat.

use std::{
    fs::File,
    io::{BufReader, Read, Seek, SeekFrom},
    os::unix::fs::FileExt as _,
};

use zip::{CompressionMethod, ZipReadOptions, read::Config, result::ZipError, unstable::read::ZipIterable};

use super::{sieve::Sieve, whole, wrong};
use crate::error::{Doing as _, SandboxError};

/// The kind of a file in a mode of Unix, and the kinds that matter.
const KIND: u32 = 0o170_000;
const FILE: u32 = 0o100_000;
const FOLDER: u32 = 0o040_000;
const LINK: u32 = 0o120_000;

/// Unpacks all of it into the sieve.
pub(super) fn unpack(archive: &File, sieve: &mut Sieve<'_>) -> Result<(), SandboxError> {
    let length = archive.metadata().doing("looking at an archive")?.len();
    let reader = || BufReader::new(At { file: archive, at: 0, length });
    let broken = |error: ZipError| whole(format!("is damaged: {error}"));
    let zip = ZipIterable::try_new(reader(), Config::default()).map_err(broken)?;
    let mut zip = zip.enforce_header_consistency(true);
    let (mut bodies, mut packed) = (reader(), 0u64);
    for entry in zip.files().map_err(broken)? {
        sieve.count()?;
        let entry = entry.map_err(broken)?;
        let name = std::str::from_utf8(entry.name_raw())
            .map_err(|_| wrong(&String::from_utf8_lossy(entry.name_raw()), "has a name that is not UTF-8"))?;
        let name = name.to_owned();
        if entry.encrypted() {
            return Err(wrong(&name, "is encrypted"));
        }
        // Whatever system it says it comes from: others take this for a mode of Unix.
        let kind = (entry.external_attributes() >> 16) & KIND;
        match kind {
            0 | FILE | FOLDER => {}
            LINK => return Err(SandboxError::SymlinkForbidden { path: name }),
            _ => return Err(SandboxError::PathForbidden { path: name, why: "is not an ordinary file" }),
        }
        let Some(path) = sieve.path(&name)? else { continue };
        if name.ends_with('/') || kind == FOLDER {
            if entry.size() > 0 {
                return Err(wrong(&name, "is a folder with a content"));
            }
            sieve.folder(&name, path)?;
            continue;
        }
        let method = entry.compression();
        if !matches!(method, CompressionMethod::Stored | CompressionMethod::Deflated) {
            return Err(wrong(&name, format!("is compressed by {method}, which is not read here")));
        }
        // Entries that share their bytes are a bomb: together they are no longer than the archive.
        packed = packed.saturating_add(entry.compressed_size());
        if packed > length {
            return Err(wrong(&name, "shares its bytes with other entries"));
        }
        let declared = entry.size();
        let body = entry.with_reader(&mut bodies, ZipReadOptions::new());
        let mut body = body.map_err(|error| wrong(&name, format!("is damaged: {error}")))?;
        sieve.file(&name, path, declared, &mut body)?;
    }
    Ok(())
}

/// Reads a file at a place of its own, so that two readers do not move each other's.
struct At<'a> {
    file: &'a File,
    at: u64,
    length: u64,
}

impl Read for At<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.file.read_at(buffer, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for At<'_> {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.length.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(std::io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}
