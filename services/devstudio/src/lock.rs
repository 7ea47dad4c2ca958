//! One supervisor a data folder: a lock that ends with the process that holds it, however that ends.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use anyhow::{Context as _, bail};

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub struct Lock(File);

impl Drop for Lock {
    /// Closing the file is not enough: a child that is being started has it too, until it runs its own program.
    fn drop(&mut self) {
        if let Err(error) = self.0.unlock() {
            tracing::warn!(%error, "the data folder could not be unlocked");
        }
    }
}

impl Lock {
    /// Takes the lock of a data folder, or tells which process has it.
    pub fn take(data: &Path) -> anyhow::Result<Self> {
        let path = data.join("up.lock");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .with_context(|| format!("open {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!(
                "DevStudio runs already with the data folder {} (pid {}); stop it, or name another one with --data-dir",
                data.display(),
                holder(data).map_or_else(|| "unknown".to_owned(), |pid| pid.to_string()),
            ),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("lock {}", path.display()));
            }
        }
        file.set_len(0)?;
        writeln!(file, "{}", std::process::id())?;
        Ok(Self(file))
    }
}

/// The process that last took the lock.
pub fn holder(data: &Path) -> Option<u32> {
    fs::read_to_string(data.join("up.lock")).ok()?.trim().parse().ok()
}

/// Is the lock taken now?
pub fn is_taken(data: &Path) -> bool {
    File::open(data.join("up.lock"))
        .is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_to_come_learns_who_was_first() {
        let dir = tempfile::tempdir().expect("a folder");
        let first = Lock::take(dir.path()).expect("free");
        assert!(is_taken(dir.path()));
        let error = Lock::take(dir.path()).expect_err("taken").to_string();
        assert!(error.contains(&format!("pid {}", std::process::id())), "{error}");
        drop(first);
        assert!(!is_taken(dir.path()));
        Lock::take(dir.path()).expect("free again");
    }
}
