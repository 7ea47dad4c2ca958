//! Archives: unpacked with distrust, packed piece by piece. Nothing here touches a workspace or a database.

mod pack;
mod sieve;
mod tar;
mod zip;

use std::{
    fs::File,
    io::{BufReader, Read as _, Seek as _},
};

use flate2::read::MultiGzDecoder;
use tokio_util::sync::CancellationToken;

use self::sieve::Sieve;
pub use self::{
    pack::Packer,
    sieve::{Contents, Unpacked},
};
use crate::{
    error::{Doing as _, SandboxError},
    fs::JailPath,
};

/// Forms of archives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// zip.
    Zip,
    /// tar.
    Tar,
    /// tar, compressed by gzip.
    TarGz,
}

impl Format {
    /// How names of such archives end.
    pub fn ending(self) -> &'static str {
        match self {
            Self::Zip => "zip",
            Self::Tar => "tar",
            Self::TarGz => "tar.gz",
        }
    }
}

/// How much may come out of an archive.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Files, and as many folders.
    pub files: u64,
    /// Bytes of all files.
    pub bytes: u64,
}

/// Where to unpack, and how.
#[derive(Debug, Clone)]
pub struct Order {
    /// The archive's form; told by its content where it is not set.
    pub format: Option<Format>,
    /// The folder to unpack into.
    pub below: JailPath,
    /// Leave out the folder that holds everything.
    pub strip_root: bool,
    /// How much may come out.
    pub limits: Limits,
    /// Ends the work.
    pub cancel: CancellationToken,
}

/// Unpacks an archive into a file without a name, or refuses all of it. Busy with the processor: for a thread of its
/// own.
pub fn unpack(archive: File, order: &Order) -> Result<Unpacked, SandboxError> {
    let mut sieve = Sieve::new(order)?;
    match order.format.map_or_else(|| told(&archive), Ok)? {
        Format::Zip => zip::unpack(&archive, &mut sieve)?,
        Format::Tar => tar::unpack(BufReader::new(archive), &mut sieve)?,
        Format::TarGz => tar::unpack(MultiGzDecoder::new(BufReader::new(archive)), &mut sieve)?,
    }
    sieve.finish()
}

/// The form of an archive, by its first bytes.
fn told(mut archive: &File) -> Result<Format, SandboxError> {
    let mut head = Vec::with_capacity(512);
    archive.take(512).read_to_end(&mut head).doing("reading an archive")?;
    archive.rewind().doing("reading an archive")?;
    match head.as_slice() {
        [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Ok(Format::Zip),
        [0x1f, 0x8b, ..] => Ok(Format::TarGz),
        // an empty one is zeros only
        head if head.len() == 512 && (&head[257..262] == b"ustar" || head.iter().all(|byte| *byte == 0)) => {
            Ok(Format::Tar)
        }
        _ => Err(whole("is neither zip nor tar nor tar.gz")),
    }
}

/// What is wrong with an archive as a whole.
fn whole(why: impl Into<String>) -> SandboxError {
    SandboxError::ArchiveInvalid { entry: String::new(), why: why.into() }
}

/// What is wrong with an entry of it.
fn wrong(entry: &str, why: impl Into<String>) -> SandboxError {
    SandboxError::ArchiveInvalid { entry: entry.to_owned(), why: why.into() }
}
