//! Where everything lies: the data folder and what is in it, the run folder of its sockets, and what was installed
//! beside the binary or kept in the cache.

use std::{
    env, fs, io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use sha2::{Digest as _, Sha256};

/// The places of one instance; an instance is a data folder.
#[derive(Debug, Clone)]
pub struct Paths {
    /// What is to be kept: keys, database, models, logs.
    pub data: PathBuf,
    /// The first twelve hexadecimal digits of the data folder's SHA-256.
    pub instance: String,
    /// What lives as long as the instance runs, with paths short enough for sockets.
    pub runtime: PathBuf,
}

impl Paths {
    /// The places of a data folder, or of the default one. Makes nothing.
    pub fn of(data_dir: Option<&Path>) -> anyhow::Result<Self> {
        let wanted = match data_dir {
            Some(dir) => dir.to_owned(),
            None => default_data_dir()?,
        };
        let data = canonical(&wanted).with_context(|| format!("the data folder {}", wanted.display()))?;
        let digest = hex::encode(Sha256::digest(data.as_os_str().as_encoded_bytes()));
        let instance = digest[..12].to_owned();
        let runtime = runtime_root().join(&instance);
        Ok(Self { data, instance, runtime })
    }

    /// Makes the folders, each with the rights it needs, and refuses places that belong to somebody else.
    pub fn create(&self) -> anyhow::Result<()> {
        fs::create_dir_all(&self.data).with_context(|| format!("make {}", self.data.display()))?;
        // The account of PostgreSQL passes through here; what is secret inside has its own rights.
        own_folder(&self.data, 0o711)?;
        for dir in [self.keys(), self.logs()] {
            own_folder(&dir, 0o700)?;
        }
        for (dir, mode) in [(runtime_root(), 0o711), (self.runtime.clone(), 0o711), (self.run(), 0o700)] {
            own_folder(&dir, mode)?;
        }
        Ok(())
    }

    /// Private keys of the services, and the folder of the public ones.
    pub fn keys(&self) -> PathBuf {
        self.data.join("keys")
    }

    /// A log file for each child.
    pub fn logs(&self) -> PathBuf {
        self.data.join("logs")
    }

    /// Sockets between the services.
    pub fn run(&self) -> PathBuf {
        self.runtime.join("run")
    }

    /// A socket of the run folder.
    pub fn socket(&self, name: &str) -> PathBuf {
        self.run().join(format!("{name}.sock"))
    }

    /// The first password of the first admin, until it is changed.
    pub fn first_password(&self) -> PathBuf {
        self.data.join("initial-admin-password")
    }
}

/// `/var/lib/devstudio` for root, else below the person's data folder.
fn default_data_dir() -> anyhow::Result<PathBuf> {
    if rustix::process::geteuid().is_root() {
        return Ok("/var/lib/devstudio".into());
    }
    let base = env::var_os("XDG_DATA_HOME").map(PathBuf::from).filter(|dir| dir.is_absolute());
    let base = base.or_else(|| env::home_dir().map(|home| home.join(".local/share")));
    Ok(base.context("HOME is not set; name a data folder with --data-dir")?.join("devstudio"))
}

/// `/tmp/devstudio` for root; others have one of their own, since whoever owns a folder rules what is in it.
fn runtime_root() -> PathBuf {
    match rustix::process::geteuid() {
        uid if uid.is_root() => "/tmp/devstudio".into(),
        uid => format!("/tmp/devstudio-{}", uid.as_raw()).into(),
    }
}

/// Where set-up keeps PostgreSQL and the first model: outside of root's home, where no other account may look.
pub fn cache() -> Option<PathBuf> {
    if rustix::process::geteuid().is_root() {
        return Some("/var/cache/devstudio".into());
    }
    let base = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|dir| dir.is_absolute());
    base.or_else(|| env::home_dir().map(|home| home.join(".cache"))).map(|base| base.join("devstudio"))
}

/// Finds a part that was built or installed beside the binary: `share/devstudio/<installed>` or, in a clone,
/// `<built>`, in any folder above the binary's. `proof` is a file that the part must have.
pub fn beside_binary(installed: &str, built: &str, proof: &str) -> Option<PathBuf> {
    // As it was called, and as it really lies: a clone's target folder may be a link into a cache.
    let called = env::args_os().next().map(PathBuf::from).filter(|path| path.components().count() > 1);
    let called = called.and_then(|path| std::path::absolute(path).ok());
    [called, env::current_exe().ok()].into_iter().flatten().find_map(|exe| {
        exe.ancestors().skip(1).find_map(|dir| {
            [dir.join("share/devstudio").join(installed), dir.join(built)]
                .into_iter()
                .find(|candidate| candidate.join(proof).is_file())
        })
    })
}

/// The real path of what is there, with what is not there yet appended.
fn canonical(path: &Path) -> io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    let mut missing = Vec::new();
    for there in path.ancestors() {
        match there.canonicalize() {
            Ok(real) => return Ok(missing.iter().rev().fold(real, |path, name| path.join(name))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                missing.extend(there.file_name().map(ToOwned::to_owned));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(path)
}

/// Makes a folder, or checks that one which is there is a folder of ours, and sets its rights.
pub fn own_folder(dir: &Path, mode: u32) -> anyhow::Result<()> {
    match fs::DirBuilder::new().mode(mode).create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(error).with_context(|| format!("make {}", dir.display()));
        }
        _ => {}
    }
    let found = fs::symlink_metadata(dir).with_context(|| format!("look at {}", dir.display()))?;
    let me = rustix::process::geteuid().as_raw();
    if !found.is_dir() || found.uid() != me {
        bail!(
            "{} is not a folder of the user with id {me}; remove it, or name another place with --data-dir",
            dir.display()
        );
    }
    if found.mode() & 0o777 != mode {
        fs::set_permissions(dir, fs::Permissions::from_mode(mode))
            .with_context(|| format!("set the rights of {}", dir.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_folder_has_one_instance_however_it_is_written() {
        let dir = tempfile::tempdir().expect("a folder");
        let plain = Paths::of(Some(&dir.path().join("not/yet"))).expect("paths");
        let dotted = Paths::of(Some(&dir.path().join("./not/./yet"))).expect("paths");
        assert_eq!(plain.instance, dotted.instance);
        std::os::unix::fs::symlink(dir.path(), dir.path().join("link")).expect("a link");
        let linked = Paths::of(Some(&dir.path().join("link/not/yet"))).expect("paths");
        assert_eq!(linked.data, plain.data);
        assert!(plain.socket("sandbox").as_os_str().len() < 100, "sockets have short paths");
    }

    #[test]
    fn a_link_in_place_of_a_folder_is_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        let link = dir.path().join("run");
        std::os::unix::fs::symlink("/etc", &link).expect("a link");
        let error = own_folder(&link, 0o700).expect_err("refused");
        assert!(error.to_string().contains("is not a folder of the user"), "{error}");
    }
}
