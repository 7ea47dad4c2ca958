//! The log file of a child: what it prints goes there, and with --verbose to the terminal as well. A full file
//! becomes `<name>.log.1`, so that a child takes at most twice the limit.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, PipeReader, Write as _},
    os::{fd::OwnedFd, unix::fs::OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use tokio::io::AsyncReadExt as _;

use crate::terminal::Terminal;

/// Largest log file.
const FULL: u64 = 16 * 1024 * 1024;
/// Longest line on the terminal.
const LONGEST_LINE: usize = 16 * 1024;

struct Log {
    path: PathBuf,
    file: File,
    size: u64,
}

impl Log {
    fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        let size = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), file, size })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.size >= FULL {
            fs::rename(&self.path, self.path.with_extension("log.1"))?;
            *self = Self::open(&self.path)?;
        }
        self.size += bytes.len() as u64;
        self.file.write_all(bytes)
    }
}

/// Copies a child's output into its log file until the child, and whatever has its output, is gone.
pub fn follow(name: &'static str, path: &Path, output: PipeReader, terminal: Terminal) -> anyhow::Result<()> {
    let mut log = Log::open(path).with_context(|| format!("open {}", path.display()))?;
    let mut output = tokio::net::unix::pipe::Receiver::from_owned_fd(OwnedFd::from(output))?;
    tokio::spawn(async move {
        let mut bytes = vec![0; 16 * 1024];
        let mut line = Vec::new();
        while let Ok(count @ 1..) = output.read(&mut bytes).await {
            // A full disk must not stop the child: it goes on, unlogged.
            let _ = log.write(&bytes[..count]);
            if terminal.verbose {
                show(name, &bytes[..count], &mut line, &terminal);
            }
        }
    });
    Ok(())
}

fn show(name: &str, bytes: &[u8], line: &mut Vec<u8>, terminal: &Terminal) {
    for byte in bytes {
        if *byte == b'\n' || line.len() >= LONGEST_LINE {
            terminal.output(name, &String::from_utf8_lossy(line));
            line.clear();
        }
        if *byte != b'\n' {
            line.push(*byte);
        }
    }
}

/// The last lines of a log.
pub fn tail(path: &Path, lines: usize) -> String {
    let text = fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].iter().map(|line| format!("  {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_log_is_set_aside_and_a_new_one_begun() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("core.log");
        let mut log = Log::open(&path).expect("opened");
        log.size = FULL;
        log.file.write_all(b"old\n").expect("written");
        log.write(b"new\n").expect("written");
        assert_eq!(fs::read_to_string(&path).expect("read"), "new\n");
        assert_eq!(fs::read_to_string(dir.path().join("core.log.1")).expect("read"), "old\n");
        assert_eq!(tail(&path, 5), "  new\n");
    }
}
