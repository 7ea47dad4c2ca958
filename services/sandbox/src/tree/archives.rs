//! Whole trees into a workspace and out of it. An import is one change, like every write.

use std::collections::{BTreeSet, HashMap};

use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Trees, copies::present};
use crate::{
    archive::Unpacked,
    blocking,
    error::SandboxError,
    fs::JailPath,
    lock::{Scope, Writer},
    store::{File, Hash, change::Change},
};

/// Contents that are read at once.
const AT_ONCE: usize = 8;
/// Paths that a working copy follows one by one; more are brought in as a folder.
const FOLLOWED: usize = 64;

/// What happens to files that are there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum There {
    /// They get the archive's content.
    Replace,
    /// They stay as they are.
    Keep,
    /// Nothing is imported.
    Refuse,
}

/// What an import came to.
#[derive(Debug, Clone, Copy)]
pub struct Imported {
    /// Files that were written.
    pub written_files: usize,
    /// Files that were there already, and stayed.
    pub kept_files: usize,
    /// Bytes of the files that were written.
    pub written_bytes: u64,
    /// The state before.
    pub snapshot_id: Uuid,
}

/// What is to be packed.
#[derive(Debug)]
pub struct Packing {
    /// The name of what is packed: the workspace's.
    pub name: String,
    /// When this is.
    pub now: OffsetDateTime,
    /// The files, by path from the folder on.
    pub files: Vec<Packed>,
    /// Folders that somebody made.
    pub folders: Vec<String>,
}

/// A file that is to be packed.
#[derive(Debug, Clone)]
pub struct Packed {
    /// Its path from the folder on.
    pub path: String,
    /// Its content's hash.
    pub sha256: Hash,
    /// Its length.
    pub size_bytes: i64,
    /// When it changed.
    pub updated_at: OffsetDateTime,
}

impl Trees {
    /// Writes what came out of an archive below a folder: all of it, or nothing.
    pub async fn import(
        &self,
        writer: Writer,
        workspace_id: Uuid,
        below: &JailPath,
        unpacked: Unpacked,
        there: There,
    ) -> Result<Imported, SandboxError> {
        let cell = self.cell(workspace_id);
        let mut cell = cell.lock().await;
        let mut change = self.change(writer, workspace_id).await?;
        let tree = change.tree().await?;
        let before = change.keep(&tree, "before importing").await?;
        let old: HashMap<String, File> = change
            .files(&JailPath::root())
            .await?
            .into_iter()
            .map(|file| (file.path.clone(), file))
            .collect();
        let (mut written, mut kept_files, mut written_bytes) = (BTreeSet::new(), 0, 0);
        let Unpacked { files, folders, contents } = unpacked;
        let wanted: Vec<_> = files.into_iter().collect();
        for part in wanted.chunks(AT_ONCE) {
            let (part, contents) = (part.to_vec(), contents.clone());
            let read = move || {
                let read = |(path, place)| Ok((path, contents.read(place)?));
                part.into_iter().map(read).collect::<Result<Vec<_>, SandboxError>>()
            };
            for (path, content) in blocking(read).await?? {
                let before = old.get(path.as_str());
                if before.is_some() && there == There::Refuse {
                    return Err(SandboxError::AlreadyExists { what: path.to_string() });
                }
                let stays =
                    |old: &File| there == There::Keep || old.sha256[..] == Sha256::digest(&content)[..];
                if before.is_some_and(stays) {
                    kept_files += 1;
                    continue;
                }
                let put = self.put_over(&mut change, &path, &content, before).await;
                put.map_err(|error| error.of_entry(path.as_str()))?;
                written_bytes += content.len() as u64;
                written.insert(path);
            }
        }
        let is_file = |path: &str| {
            old.contains_key(path) || JailPath::file(path).is_ok_and(|path| written.contains(&path))
        };
        let mut made = Vec::new();
        for folder in
            folders.iter().filter(|folder| !tree.contains_key(folder.as_str()) || is_file(folder.as_str()))
        {
            let path = folder.as_str();
            let above = path.match_indices('/').map(|(at, _)| &path[..at]).chain([path]);
            if let Some(file) = above.into_iter().find(|path| is_file(path)) {
                let why = if file == path { "is a file here" } else { "goes through a file" };
                return Err(SandboxError::PathForbidden { path: path.to_owned(), why });
            }
            change.may_write(folder, Scope::File).map_err(|error| error.of_entry(path))?;
            made.push(path.to_owned());
        }
        change.make_folders(&made).await?;
        change.commit().await?;
        let written_files = written.len();
        let made = made.iter().map(|path| JailPath::file(path)).collect::<Result<Vec<_>, _>>()?;
        let mut touched: Vec<JailPath> = written.into_iter().chain(made).collect();
        if touched.len() > FOLLOWED {
            touched = vec![below.clone()];
        }
        self.follow(present(&mut cell), writer.user_id, workspace_id, touched).await;
        Ok(Imported { written_files, kept_files, written_bytes, snapshot_id: before.snapshot_id })
    }

    /// Writes a file over what it was.
    async fn put_over(
        &self,
        change: &mut Change,
        path: &JailPath,
        content: &[u8],
        old: Option<&File>,
    ) -> Result<(), SandboxError> {
        let before = match old {
            Some(old) => Some(change.content(old).await?),
            None => None,
        };
        self.put(change, path, content, old, before.as_deref()).await.map(drop)
    }

    /// What a folder of a workspace holds, as it is or as it was in a snapshot.
    pub async fn packing(
        &self,
        user_id: Uuid,
        workspace_id: Uuid,
        below: &JailPath,
        snapshot_id: Option<Uuid>,
    ) -> Result<Packing, SandboxError> {
        let (store, now) = (&self.0.store, self.0.clock.now());
        let mut all = store.workspaces(user_id).await?.into_iter();
        let workspace = all.find(|workspace| workspace.workspace_id == workspace_id);
        let name = workspace.ok_or(SandboxError::NotFound { what: "workspace" })?.name;
        let inner = |path: &str| {
            let inner = path.strip_prefix(below.as_str()).unwrap_or(path).trim_start_matches('/');
            (!inner.is_empty()).then(|| inner.to_owned())
        };
        let (mut files, mut folders, mut is_there) = (Vec::new(), Vec::new(), below.is_root());
        if let Some(snapshot_id) = snapshot_id {
            let snapshot = store.snapshot(user_id, workspace_id, snapshot_id).await?;
            for (path, kept) in store.tree_of(&snapshot, below).await? {
                is_there |= path != below.as_str() || kept.sha256.is_none();
                let Some(path) = inner(&path) else { continue };
                match kept.sha256 {
                    Some(sha256) => {
                        let (size_bytes, updated_at) = (kept.size_bytes, snapshot.created_at);
                        files.push(Packed { path, sha256, size_bytes, updated_at });
                    }
                    None => folders.push(path),
                }
            }
        } else {
            for File { path, sha256, size_bytes, updated_at, .. } in
                store.files(user_id, workspace_id, below).await?
            {
                is_there |= path != below.as_str();
                files.extend(inner(&path).map(|path| Packed { path, sha256, size_bytes, updated_at }));
            }
            for (path, _) in store.folders(user_id, workspace_id, below).await? {
                is_there = true;
                folders.extend(inner(&path));
            }
        }
        if !is_there {
            return Err(SandboxError::NotFound { what: "folder" });
        }
        Ok(Packing { name, now, files, folders })
    }

    /// Contents of files that [`Self::packing`] named.
    pub async fn contents(&self, files: &[Packed]) -> Result<HashMap<Hash, Vec<u8>>, SandboxError> {
        let hashes: Vec<Hash> = files.iter().map(|file| file.sha256).collect();
        self.0.store.blobs(&hashes).await
    }
}
