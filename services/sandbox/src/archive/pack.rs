//! Packs archives piece by piece: a file goes in, what is ready comes out.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

use flate2::{Compression, write::GzEncoder};
use time::OffsetDateTime;
use zip::{
    CompressionMethod, DateTime, ZipWriter,
    write::{SimpleFileOptions, StreamWriter},
};

use super::Format;

/// Packs an archive. Busy with the processor: for a thread that may be.
pub struct Packer {
    writer: Writer,
    out: Sink,
}

enum Writer {
    Zip(Box<ZipWriter<StreamWriter<Sink>>>),
    Tar(tar::Builder<Sink>),
    TarGz(Box<tar::Builder<GzEncoder<Sink>>>),
}

impl Packer {
    /// An empty archive.
    pub fn new(format: Format) -> Self {
        let out = Sink::default();
        let writer = match format {
            Format::Zip => Writer::Zip(Box::new(ZipWriter::new_stream(out.clone()))),
            Format::Tar => Writer::Tar(tar::Builder::new(out.clone())),
            Format::TarGz => {
                let gzip = GzEncoder::new(out.clone(), Compression::default());
                Writer::TarGz(Box::new(tar::Builder::new(gzip)))
            }
        };
        Self { writer, out }
    }

    /// Adds a folder.
    pub fn folder(&mut self, path: &str, at: OffsetDateTime) -> io::Result<()> {
        match &mut self.writer {
            Writer::Zip(zip) => {
                Ok(zip.add_directory(format!("{path}/"), options(at).unix_permissions(0o755))?)
            }
            Writer::Tar(tar) => tar.append_data(
                &mut header(tar::EntryType::Directory, 0, at),
                format!("{path}/"),
                io::empty(),
            ),
            Writer::TarGz(tar) => tar.append_data(
                &mut header(tar::EntryType::Directory, 0, at),
                format!("{path}/"),
                io::empty(),
            ),
        }
    }

    /// Adds a file.
    pub fn file(&mut self, path: &str, content: &[u8], at: OffsetDateTime) -> io::Result<()> {
        let size = content.len() as u64;
        match &mut self.writer {
            Writer::Zip(zip) => {
                zip.start_file(path, options(at).unix_permissions(0o644))?;
                zip.write_all(content)
            }
            Writer::Tar(tar) => {
                tar.append_data(&mut header(tar::EntryType::Regular, size, at), path, content)
            }
            Writer::TarGz(tar) => {
                tar.append_data(&mut header(tar::EntryType::Regular, size, at), path, content)
            }
        }
    }

    /// What is ready to be sent.
    pub fn ready(&mut self) -> Vec<u8> {
        std::mem::take(&mut *self.out.lock())
    }

    /// Ends the archive; answers the rest of it.
    pub fn finish(self) -> io::Result<Vec<u8>> {
        match self.writer {
            Writer::Zip(zip) => drop(zip.finish()?),
            Writer::Tar(tar) => drop(tar.into_inner()?),
            Writer::TarGz(tar) => drop(tar.into_inner()?.finish()?),
        }
        Ok(std::mem::take(&mut *self.out.lock()))
    }
}

fn options(at: OffsetDateTime) -> SimpleFileOptions {
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    let time = DateTime::from_date_and_time(
        at.year().try_into().unwrap_or_default(),
        at.month().into(),
        at.day(),
        at.hour(),
        at.minute(),
        at.second(),
    );
    match time {
        Ok(time) => options.last_modified_time(time),
        Err(_) => options,
    }
}

fn header(kind: tar::EntryType, size: u64, at: OffsetDateTime) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(if kind == tar::EntryType::Directory { 0o755 } else { 0o644 });
    header.set_mtime(at.unix_timestamp().try_into().unwrap_or_default());
    header.set_size(size);
    header
}

/// Where the archive's writers put what is ready.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Sink {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Write for Sink {
    fn write(&mut self, content: &[u8]) -> io::Result<usize> {
        self.lock().extend_from_slice(content);
        Ok(content.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
