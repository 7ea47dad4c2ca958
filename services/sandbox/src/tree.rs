//! Workspaces: the one writer of files, and the working copies that programs see.
//!
//! PostgreSQL is the truth; an answered write is a committed row. A working copy is made from it when it is first
//! needed, and is never edited while a run has it as the lower layer of its overlay: what changes meanwhile is
//! brought in when the last run has gone, or goes into a new copy when another run starts before that.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use devstudio_kit::clock::Clock;
use sha2::{Digest as _, Sha256};
use tokio::sync::Mutex as AsyncMutex;
use uuid::Uuid;

use crate::{
    engine::View,
    error::{Doing as _, SandboxError},
    fs::{self, Jail, JailPath, MAX_FILE_BYTES},
    process::changes::Change as Difference,
    store::{Change, File, Hash, Store, Workspace},
};

/// How much a workspace may hold.
#[derive(Debug, Clone, Copy)]
pub struct Quota {
    /// Bytes of its files.
    pub bytes: u64,
    /// Its files.
    pub files: u64,
}

/// Workspaces of this machine. Cheap to clone.
#[derive(Clone)]
pub struct Trees(Arc<Inner>);

struct Inner {
    store: Store,
    clock: Clock,
    root: PathBuf,
    owner: Option<(u32, u32)>,
    quota: Quota,
    copies: Mutex<HashMap<Uuid, Arc<AsyncMutex<Option<Copy>>>>>,
    made: AtomicU64,
}

/// A working copy, and what of it is behind the truth.
struct Copy {
    folder: Arc<Folder>,
    behind: BTreeSet<JailPath>,
}

impl Copy {
    /// What stands at a path is as the truth has it.
    fn is_current(&self, path: &JailPath) -> bool {
        !self.behind.iter().any(|behind| path.is_within(behind))
    }
}

/// The folder of a working copy; removed with its last user once it is out of use.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    retired: AtomicBool,
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.retired.load(Ordering::Acquire)
            && let Err(error) = std::fs::remove_dir_all(&self.path)
        {
            tracing::warn!(%error, "an old working copy could not be removed");
        }
    }
}

/// A run's hold on a working copy.
#[derive(Debug)]
pub struct Lease {
    folder: Arc<Folder>,
    workspace_id: Uuid,
}

impl Lease {
    /// What the run sees.
    pub fn view(&self) -> View {
        View { workspace_id: self.workspace_id, folder: self.folder.path.clone() }
    }
}

/// What a run's changes came to.
#[derive(Debug, Default)]
pub struct Synced {
    /// Paths that were stored or removed.
    pub changed: Vec<String>,
    /// Paths that were refused, with the reason.
    pub rejected: BTreeMap<String, String>,
}

impl Trees {
    /// Workspaces with copies below `root`, a folder of this service's own.
    pub fn new(
        store: Store,
        clock: Clock,
        root: PathBuf,
        owner: Option<(u32, u32)>,
        quota: Quota,
    ) -> Result<Self, SandboxError> {
        fs::private_folder(&root)?;
        // Copies of an earlier service may be behind in ways that nobody knows any more.
        for entry in std::fs::read_dir(&root).doing("listing working copies")? {
            let path = entry.doing("listing working copies")?.path();
            std::fs::remove_dir_all(&path).doing("removing an old working copy")?;
        }
        let (copies, made) = (Mutex::default(), AtomicU64::new(0));
        Ok(Self(Arc::new(Inner { store, clock, root, owner, quota, copies, made })))
    }

    /// The quota of every workspace.
    pub fn quota(&self) -> Quota {
        self.0.quota
    }

    /// The person's workspaces.
    pub async fn list_workspaces(&self, user_id: Uuid) -> Result<Vec<Workspace>, SandboxError> {
        self.resolve(user_id, None).await?;
        self.0.store.workspaces(user_id).await
    }

    /// The workspace that is meant: the default one where none is named, and never somebody else's.
    pub async fn resolve(&self, user_id: Uuid, workspace_id: Option<Uuid>) -> Result<Uuid, SandboxError> {
        match workspace_id {
            Some(workspace_id) => self.0.store.must_own(user_id, workspace_id).await.map(|()| workspace_id),
            None => self.0.store.default_workspace(user_id, self.0.clock.now()).await,
        }
    }

    /// Writes a whole file.
    pub async fn write(
        &self,
        user_id: Uuid,
        workspace_id: Uuid,
        path: &JailPath,
        content: &[u8],
        if_version: Option<i64>,
    ) -> Result<File, SandboxError> {
        if content.len() as u64 > MAX_FILE_BYTES {
            let size_bytes = content.len() as u64;
            return Err(SandboxError::FileTooLarge { limit_bytes: MAX_FILE_BYTES, size_bytes });
        }
        let cell = self.cell(workspace_id);
        let mut cell = cell.lock().await;
        let mut copy = present(&mut cell);
        if let Some(copy) = copy.as_deref().filter(|copy| copy.is_current(path)) {
            self.jail(&copy.folder.path)?.check_target(path)?;
        }
        let mut change = self.0.store.change(user_id, workspace_id).await?;
        let old = change.file(path).await?;
        check_version(old.as_ref(), if_version)?;
        let now = self.0.clock.now();
        let sha256: Hash = Sha256::digest(content).into();
        let version = self.put(&mut change, path, &sha256, content, old.as_ref()).await?;
        change.commit().await?;
        self.follow(copy.as_deref_mut(), user_id, workspace_id, [path.clone()]).await;
        let size_bytes = content.len() as i64;
        Ok(File { path: path.to_string(), version, sha256, size_bytes, updated_at: now })
    }

    /// Writes a file within a change: nothing in the way, quota kept.
    async fn put(
        &self,
        change: &mut Change,
        path: &JailPath,
        sha256: &Hash,
        content: &[u8],
        old: Option<&File>,
    ) -> Result<i64, SandboxError> {
        if let Some(other) = change.in_the_way(path).await? {
            let why = if other.len() > path.as_str().len() { "is a folder" } else { "goes through a file" };
            return Err(SandboxError::PathForbidden { path: path.to_string(), why });
        }
        let Quota { bytes, files } = self.0.quota;
        let used_bytes = change.workspace.used_bytes as u64;
        let used_files = change.workspace.file_count as u64;
        if used_bytes - old.map_or(0, |old| old.size_bytes as u64) + content.len() as u64 > bytes {
            return Err(SandboxError::QuotaExceeded { unit: "bytes", limit: bytes, used: used_bytes });
        }
        if old.is_none() && used_files >= files {
            return Err(SandboxError::QuotaExceeded { unit: "files", limit: files, used: used_files });
        }
        change.put(path, sha256, content, old, self.0.clock.now()).await
    }

    /// Reads a whole file.
    pub async fn read(
        &self,
        user_id: Uuid,
        workspace_id: Uuid,
        path: &JailPath,
    ) -> Result<(File, Vec<u8>), SandboxError> {
        let cell = self.cell(workspace_id);
        let mut cell = cell.lock().await;
        let copy = present(&mut cell).filter(|copy| copy.is_current(path));
        let seen = match copy {
            Some(copy) => Some(self.jail(&copy.folder.path)?.read(path)),
            None => None,
        };
        drop(cell);
        let file = self.0.store.file(user_id, workspace_id, path).await?;
        match (seen, file) {
            (Some(Ok(content)), Some(file)) if Sha256::digest(&content)[..] == file.sha256 => {
                Ok((file, content))
            }
            // Something that is no file of ours stands there.
            (Some(Err(error)), _) if !matches!(error, SandboxError::NotFound { .. }) => Err(error),
            (_, Some(file)) => {
                let content = self.0.store.blob(&file.sha256).await?;
                let content = content
                    .ok_or_else(|| SandboxError::Internal(format!("the content of {path} is missing")))?;
                Ok((file, content))
            }
            (_, None) => Err(SandboxError::NotFound { what: "file" }),
        }
    }

    /// The files at or below a path.
    pub async fn list(
        &self,
        user_id: Uuid,
        workspace_id: Uuid,
        below: &JailPath,
    ) -> Result<Vec<File>, SandboxError> {
        let files = self.0.store.files(user_id, workspace_id, below).await?;
        if files.is_empty() && !below.is_root() {
            return Err(SandboxError::NotFound { what: "folder" });
        }
        Ok(files)
    }

    /// Deletes a file, or a folder with all in it; answers how many files are gone.
    pub async fn delete(
        &self,
        user_id: Uuid,
        workspace_id: Uuid,
        path: &JailPath,
        if_version: Option<i64>,
    ) -> Result<usize, SandboxError> {
        let cell = self.cell(workspace_id);
        let mut cell = cell.lock().await;
        let mut change = self.0.store.change(user_id, workspace_id).await?;
        let files = change.files(path).await?;
        if files.is_empty() {
            return Err(SandboxError::NotFound { what: "file" });
        }
        if if_version.is_some() {
            check_version(files.iter().find(|file| file.path == path.as_str()), if_version)?;
        }
        change.delete(&files, self.0.clock.now()).await?;
        change.commit().await?;
        self.follow(present(&mut cell), user_id, workspace_id, [path.clone()]).await;
        Ok(files.len())
    }

    /// Moves a file or folder; answers how many files moved.
    pub async fn rename(
        &self,
        user_id: Uuid,
        workspace_id: Uuid,
        from: &JailPath,
        to: &JailPath,
    ) -> Result<usize, SandboxError> {
        let cell = self.cell(workspace_id);
        let mut cell = cell.lock().await;
        let mut change = self.0.store.change(user_id, workspace_id).await?;
        let files = change.files(from).await?;
        if files.is_empty() {
            return Err(SandboxError::NotFound { what: "file" });
        }
        if !change.files(to).await?.is_empty() {
            return Err(SandboxError::AlreadyExists { what: to.to_string() });
        }
        if to.is_within(from) {
            return Err(SandboxError::PathForbidden { path: to.to_string(), why: "is inside of what moves" });
        }
        let now = self.0.clock.now();
        change.delete(&files, now).await?;
        for file in &files {
            let rest = file.path.strip_prefix(from.as_str()).unwrap_or_default();
            let target = JailPath::file(&format!("{to}{rest}"))?;
            if change.in_the_way(&target).await?.is_some() {
                return Err(SandboxError::PathForbidden { path: to.to_string(), why: "goes through a file" });
            }
            change.name(&target, &file.sha256, file.size_bytes, None, now).await?;
        }
        change.commit().await?;
        self.follow(present(&mut cell), user_id, workspace_id, [from.clone(), to.clone()]).await;
        Ok(files.len())
    }

    /// Gives a run the workspace as it is now.
    pub async fn lease(&self, user_id: Uuid, workspace_id: Uuid) -> Result<Lease, SandboxError> {
        let cell = self.cell(workspace_id);
        let mut cell = cell.lock().await;
        let copy = self.open(&mut cell, user_id, workspace_id).await?;
        self.settle(copy, user_id, workspace_id).await;
        if !copy.behind.is_empty() {
            // Runs still have the old copy: they keep it, and this one gets a new one.
            copy.folder.retired.store(true, Ordering::Release);
            *cell = None;
        }
        let copy = self.open(&mut cell, user_id, workspace_id).await?;
        Ok(Lease { folder: copy.folder.clone(), workspace_id })
    }

    /// Takes over what a run changed, through the same rules as every write.
    pub async fn apply(
        &self,
        user_id: Uuid,
        workspace_id: Uuid,
        differences: Vec<Difference>,
    ) -> Result<Synced, SandboxError> {
        let mut synced = Synced::default();
        if differences.is_empty() {
            return Ok(synced);
        }
        let cell = self.cell(workspace_id);
        let mut cell = cell.lock().await;
        let mut change = self.0.store.change(user_id, workspace_id).await?;
        let (mut changed, mut touched) = (BTreeSet::new(), BTreeSet::new());
        for difference in differences {
            match difference {
                Difference::Rejected { path, why } => {
                    synced.rejected.insert(path, why);
                }
                Difference::Removed(path) => {
                    let files = change.files(&path).await?;
                    change.delete(&files, self.0.clock.now()).await?;
                    if !files.is_empty() {
                        touched.insert(path);
                        changed.extend(files.into_iter().map(|file| file.path));
                    }
                }
                Difference::Written(path, content) => {
                    let old = change.file(&path).await?;
                    let sha256: Hash = Sha256::digest(&content).into();
                    if old.as_ref().is_some_and(|old| old.sha256 == sha256) {
                        continue;
                    }
                    match self.put(&mut change, &path, &sha256, &content, old.as_ref()).await {
                        Ok(_version) => {
                            changed.insert(path.to_string());
                            touched.insert(path);
                        }
                        Err(error @ (SandboxError::Database(_) | SandboxError::Internal(_))) => {
                            return Err(error);
                        }
                        Err(error) => {
                            let reason = devstudio_kit::fault::name(error.reason());
                            synced.rejected.insert(path.to_string(), reason.to_owned());
                        }
                    }
                }
            }
        }
        change.commit().await?;
        synced.changed = changed.into_iter().collect();
        self.follow(present(&mut cell), user_id, workspace_id, touched).await;
        Ok(synced)
    }

    fn cell(&self, workspace_id: Uuid) -> Arc<AsyncMutex<Option<Copy>>> {
        let mut copies = self.0.copies.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        copies.entry(workspace_id).or_default().clone()
    }

    fn jail(&self, folder: &Path) -> Result<Jail, SandboxError> {
        Jail::open(folder, self.0.owner)
    }

    /// Lets a working copy, where there is one, follow what changed.
    async fn follow(
        &self,
        copy: Option<&mut Copy>,
        user_id: Uuid,
        workspace_id: Uuid,
        changed: impl IntoIterator<Item = JailPath>,
    ) {
        if let Some(copy) = copy {
            copy.behind.extend(changed);
            self.settle(copy, user_id, workspace_id).await;
        }
    }

    /// The working copy, made where there is none. Refuses a workspace that is not the person's.
    async fn open<'a>(
        &self,
        cell: &'a mut Option<Copy>,
        user_id: Uuid,
        workspace_id: Uuid,
    ) -> Result<&'a mut Copy, SandboxError> {
        self.0.store.must_own(user_id, workspace_id).await?;
        if present(cell).is_none() {
            *cell = Some(self.make(user_id, workspace_id).await?);
        }
        cell.as_mut().ok_or_else(|| SandboxError::Internal("a working copy was just made".to_owned()))
    }

    async fn make(&self, user_id: Uuid, workspace_id: Uuid) -> Result<Copy, SandboxError> {
        let number = self.0.made.fetch_add(1, Ordering::Relaxed);
        let path = self.0.root.join(format!("{workspace_id}.{number}"));
        fs::private_folder(&path)?;
        if let Some((uid, gid)) = self.0.owner {
            std::os::unix::fs::chown(&path, Some(uid), Some(gid))
                .doing("giving a working copy to its owner")?;
        }
        let folder = Arc::new(Folder { path, retired: AtomicBool::new(false) });
        let copy = Copy { folder, behind: BTreeSet::new() };
        if let Err(error) = self.bring_in(&copy, user_id, workspace_id, &JailPath::root()).await {
            copy.folder.retired.store(true, Ordering::Release);
            return Err(error);
        }
        Ok(copy)
    }

    /// Brings a copy up to the truth where no run has it. What cannot be brought in stays behind.
    async fn settle(&self, copy: &mut Copy, user_id: Uuid, workspace_id: Uuid) {
        if Arc::strong_count(&copy.folder) > 1 {
            return;
        }
        for path in std::mem::take(&mut copy.behind) {
            if let Err(error) = self.bring_in(copy, user_id, workspace_id, &path).await {
                tracing::warn!(%error, %workspace_id, "a working copy stays behind");
                copy.behind.insert(path);
            }
        }
    }

    async fn bring_in(
        &self,
        copy: &Copy,
        user_id: Uuid,
        workspace_id: Uuid,
        path: &JailPath,
    ) -> Result<(), SandboxError> {
        let jail = self.jail(&copy.folder.path)?;
        let files = self.0.store.files(user_id, workspace_id, path).await?;
        let one = files.len() == 1 && files[0].path == path.as_str();
        let replaced = one && matches!(jail.kind(path), Ok(fs::Kind::File { .. }));
        if !path.is_root() && !replaced {
            jail.remove(path)?;
        }
        for file in files {
            let content = self.0.store.blob(&file.sha256).await?;
            let content = content
                .ok_or_else(|| SandboxError::Internal(format!("the content of {} is missing", file.path)))?;
            jail.write(&JailPath::file(&file.path)?, &content)?;
        }
        Ok(())
    }
}

/// The working copy, where there is one. Files are read and written without it; programs make it.
fn present(cell: &mut Option<Copy>) -> Option<&mut Copy> {
    cell.as_mut().filter(|copy| copy.folder.path.is_dir())
}

fn check_version(old: Option<&File>, if_version: Option<i64>) -> Result<(), SandboxError> {
    let current = old.map_or(0, |old| old.version);
    match if_version {
        Some(wanted) if wanted != current => Err(SandboxError::VersionConflict {
            current_version: current,
            current_sha256: old.map(|old| hex::encode(old.sha256)).unwrap_or_default(),
        }),
        _ => Ok(()),
    }
}
