//! Workspaces: the one writer of files, and the working copies that programs see.
//!
//! PostgreSQL is the truth; an answered write is a committed row. Locks, versions, the limit of a file and the quota
//! are kept here and nowhere else, whoever writes: a person, an agent, a program, a snapshot that is restored.

mod archives;
mod copies;
mod locks;
mod paths;
mod snapshots;
mod taken;
mod text;

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, atomic::AtomicU64},
};

use devstudio_kit::clock::Clock;
use sha2::{Digest as _, Sha256};
use tokio::sync::Mutex as AsyncMutex;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::copies::{Copy, present};
pub use self::{
    archives::{Imported, Packed, Packing, There},
    copies::Lease,
    snapshots::{Differences, How},
    taken::Synced,
    text::Found,
};
use crate::{
    edit,
    error::{Doing as _, SandboxError},
    fs::{self, JailPath, MAX_FILE_BYTES},
    lock::{Scope, Writer},
    store::{File, Hash, Seen, Store, Workspace, change::Change},
    watch::{Ear, Hub},
};

/// How much a workspace may hold.
#[derive(Debug, Clone, Copy)]
pub struct Quota {
    /// Bytes of its files.
    pub bytes: u64,
    /// Its files.
    pub files: u64,
    /// Workspaces of a person.
    pub workspaces: u32,
}

/// Workspaces of this machine. Cheap to clone.
#[derive(Clone)]
pub struct Trees(Arc<Inner>);

struct Inner {
    store: Store,
    hub: Hub,
    stop: CancellationToken,
    clock: Clock,
    root: PathBuf,
    owner: Option<(u32, u32)>,
    quota: Quota,
    copies: Mutex<HashMap<Uuid, Arc<AsyncMutex<Option<Copy>>>>>,
    made: AtomicU64,
}

impl Trees {
    /// Workspaces with copies below `root`, a folder of this service's own.
    pub fn new(
        store: Store,
        clock: Clock,
        stop: CancellationToken,
        root: PathBuf,
        owner: Option<(u32, u32)>,
        quota: Quota,
    ) -> Result<Self, SandboxError> {
        fs::private_folder(&root)?;
        // Copies of an earlier service may be behind in ways that nobody knows any more.
        for entry in std::fs::read_dir(&root).doing("listing working copies")? {
            let path = entry.doing("listing working copies")?.path();
            fs::remove_tree(&path)?;
        }
        let (copies, made) = (Mutex::default(), AtomicU64::new(0));
        let hub = Hub::start(store.clone());
        Ok(Self(Arc::new(Inner { store, hub, stop, clock, root, owner, quota, copies, made })))
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
        writer: Writer,
        workspace_id: Uuid,
        path: &JailPath,
        content: &[u8],
        if_version: Option<i64>,
    ) -> Result<File, SandboxError> {
        self.rewrite(writer, workspace_id, path, if_version, |_| Ok(content.to_vec())).await
    }

    /// Writes a file that `make` makes of what it was.
    async fn rewrite(
        &self,
        writer: Writer,
        workspace_id: Uuid,
        path: &JailPath,
        if_version: Option<i64>,
        make: impl FnOnce(Option<(&File, &[u8])>) -> Result<Vec<u8>, SandboxError>,
    ) -> Result<File, SandboxError> {
        let cell = self.cell(workspace_id);
        let mut cell = cell.lock().await;
        let copy = present(&mut cell);
        if let Some(copy) = copy.as_deref().filter(|copy| copy.is_current(path)) {
            self.jail(copy.folder())?.check_target(path)?;
        }
        let mut change = self.change(writer, workspace_id).await?;
        let old = change.file(path).await?;
        check_version(old.as_ref(), if_version)?;
        let before = match &old {
            Some(old) => Some(change.content(old).await?),
            None => None,
        };
        let content = make(old.as_ref().zip(before.as_deref()))?;
        let written = self.put(&mut change, path, &content, old.as_ref(), before.as_deref()).await?;
        change.commit().await?;
        self.follow(copy, writer.user_id, workspace_id, [path.clone()]).await;
        Ok(written)
    }

    /// Starts a change, at this time.
    async fn change(&self, writer: Writer, workspace_id: Uuid) -> Result<Change, SandboxError> {
        self.0.store.change(writer, workspace_id, self.0.clock.now()).await
    }

    /// Writes a file within a change: locks and limits kept, nothing in the way.
    async fn put(
        &self,
        change: &mut Change,
        path: &JailPath,
        content: &[u8],
        old: Option<&File>,
        before: Option<&[u8]>,
    ) -> Result<File, SandboxError> {
        let size_bytes = content.len() as u64;
        if size_bytes > MAX_FILE_BYTES {
            return Err(SandboxError::FileTooLarge { limit_bytes: MAX_FILE_BYTES, size_bytes });
        }
        let agent = change.may_write(path, Scope::File)?;
        self.check_room(change, path, size_bytes, old).await?;
        let sha256: Hash = Sha256::digest(content).into();
        let trace = edit::trace(before, content, agent);
        let version = change.put(path, &sha256, content, old, &trace).await?;
        let (path, size_bytes, updated_at) = (path.to_string(), size_bytes as i64, change.now);
        Ok(File { path, version, sha256, size_bytes, updated_at, trace })
    }

    /// Nothing is in the way of a file, and the quota has room for it.
    async fn check_room(
        &self,
        change: &mut Change,
        path: &JailPath,
        size_bytes: u64,
        old: Option<&File>,
    ) -> Result<(), SandboxError> {
        if let Some(other) = change.in_the_way(path).await? {
            let why = if other.len() > path.as_str().len() { "is a folder" } else { "goes through a file" };
            return Err(SandboxError::PathForbidden { path: path.to_string(), why });
        }
        let Quota { bytes, files, .. } = self.0.quota;
        let used_bytes = change.workspace.used_bytes as u64;
        let used_files = change.workspace.file_count as u64;
        if used_bytes - old.map_or(0, |old| old.size_bytes as u64) + size_bytes > bytes {
            return Err(SandboxError::QuotaExceeded { unit: "bytes", limit: bytes, used: used_bytes });
        }
        if old.is_none() && used_files >= files {
            return Err(SandboxError::QuotaExceeded { unit: "files", limit: files, used: used_files });
        }
        Ok(())
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
            Some(copy) => Some(self.jail(copy.folder())?.read(path)),
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

    /// The files at or below a path, and the folders there that somebody made.
    pub async fn list(
        &self,
        user_id: Uuid,
        workspace_id: Uuid,
        below: &JailPath,
    ) -> Result<Vec<Seen>, SandboxError> {
        let files = self.0.store.files(user_id, workspace_id, below).await?;
        let folders = self.0.store.folders(user_id, workspace_id, below).await?;
        if files.is_empty() && folders.is_empty() && !below.is_root() {
            return Err(SandboxError::NotFound { what: "folder" });
        }
        let folders = folders.into_iter().map(|(path, updated_at)| Seen::Folder { path, updated_at });
        Ok(files.into_iter().map(Seen::File).chain(folders).collect())
    }

    /// What changed after the change `after`, by path; and the last change.
    pub async fn changes(
        &self,
        user_id: Uuid,
        workspace_id: Uuid,
        after: i64,
    ) -> Result<(Vec<Seen>, i64), SandboxError> {
        self.0.store.changes(user_id, workspace_id, after).await
    }

    /// Hears of changes from now on.
    pub fn watch(&self, workspace_id: Uuid) -> Ear {
        self.0.hub.watch(workspace_id)
    }

    /// Waits until watches end.
    pub async fn stopped(&self) {
        self.0.stop.cancelled().await;
    }

    /// Makes an empty workspace.
    pub async fn make_workspace(&self, user_id: Uuid, name: &str) -> Result<Uuid, SandboxError> {
        self.0.store.make_workspace(user_id, name, self.0.quota.workspaces, self.0.clock.now()).await
    }

    /// Gives a workspace another name.
    pub async fn rename_workspace(
        &self,
        user_id: Uuid,
        workspace_id: Uuid,
        name: &str,
    ) -> Result<(), SandboxError> {
        self.0.store.rename_workspace(user_id, workspace_id, name).await
    }

    /// Deletes a workspace with all that is in it.
    pub async fn delete_workspace(&self, user_id: Uuid, workspace_id: Uuid) -> Result<(), SandboxError> {
        self.0.store.delete_workspace(user_id, workspace_id).await?;
        self.forget(workspace_id).await;
        Ok(())
    }
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
