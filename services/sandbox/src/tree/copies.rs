//! Working copies: what programs see of a workspace, made from the truth when one is first needed.
//!
//! A copy is never edited while a run has it as the lower layer of its overlay: what changes meanwhile is brought in
//! when the last run has gone, or goes into a new copy when another run starts before that.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::Mutex as AsyncMutex;
use uuid::Uuid;

use super::Trees;
use crate::{
    engine::View,
    error::{Doing as _, SandboxError},
    fs::{self, Jail, JailPath},
    lock::Writer,
    store::Hash,
};

/// A working copy, and what of it is behind the truth.
pub(super) struct Copy {
    folder: Arc<Folder>,
    behind: BTreeSet<JailPath>,
}

impl Copy {
    /// What stands at a path is as the truth has it.
    pub(super) fn is_current(&self, path: &JailPath) -> bool {
        !self.behind.iter().any(|behind| path.is_within(behind))
    }

    /// Where it is.
    pub(super) fn folder(&self) -> &Path {
        &self.folder.path
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
            && let Err(error) = crate::fs::remove_tree(&self.path)
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

impl Trees {
    /// Gives a run the workspace as it is now; nothing where its tree is to have a hash and has another.
    pub async fn lease(
        &self,
        user_id: Uuid,
        workspace_id: Uuid,
        as_of: Option<Hash>,
    ) -> Result<Lease, SandboxError> {
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
        // Whoever writes waits for the place of the copy: this is what the run will see.
        if let Some(as_of) = as_of
            && self.change(Writer::person(user_id), workspace_id).await?.tree_sha256().await? != as_of
        {
            return Err(SandboxError::State { why: "the workspace has changed since" });
        }
        Ok(Lease { folder: copy.folder.clone(), workspace_id })
    }

    /// The place of a workspace's copy.
    pub(super) fn cell(&self, workspace_id: Uuid) -> Arc<AsyncMutex<Option<Copy>>> {
        let mut copies = self.0.copies.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        copies.entry(workspace_id).or_default().clone()
    }

    pub(super) fn jail(&self, folder: &Path) -> Result<Jail, SandboxError> {
        Jail::open(folder, self.0.owner)
    }

    /// Forgets a workspace that is gone; its copy goes with the last run in it.
    pub(super) async fn forget(&self, workspace_id: Uuid) {
        let cell = {
            let mut copies = self.0.copies.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            copies.remove(&workspace_id)
        };
        if let Some(cell) = cell
            && let Some(copy) = cell.lock().await.take()
        {
            copy.folder.retired.store(true, Ordering::Release);
        }
    }

    /// Lets a working copy, where there is one, follow what changed.
    pub(super) async fn follow(
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
        for (folder, _) in self.0.store.folders(user_id, workspace_id, path).await? {
            jail.make_folder(&JailPath::file(&folder)?)?;
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
pub(super) fn present(cell: &mut Option<Copy>) -> Option<&mut Copy> {
    cell.as_mut().filter(|copy| copy.folder.path.is_dir())
}
