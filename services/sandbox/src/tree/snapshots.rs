//! Snapshots of a workspace: made, compared, gone back to, forked.

use std::collections::BTreeMap;

use time::OffsetDateTime;
use uuid::Uuid;

use super::{Trees, copies::present};
use crate::{
    edit,
    error::SandboxError,
    fs::JailPath,
    lock::{Scope, Writer},
    store::{
        Hash, Trace,
        change::Change,
        snapshots::{Kept, Snapshot, State, Tree},
    },
};

/// The most text of differences in one answer.
const MOST_DIFF_BYTES: usize = 1024 * 1024;
/// Contents that are fetched at once to be compared.
const AT_ONCE: usize = 64;

/// How a file differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// It is new.
    Added,
    /// Its content is another.
    Changed,
    /// It is gone.
    Removed,
}

/// A file that differs.
#[derive(Debug, Clone)]
pub struct Differs {
    /// Its path.
    pub path: String,
    /// How.
    pub how: How,
    /// Lines that came.
    pub lines_added: i32,
    /// Lines that went.
    pub lines_removed: i32,
    /// The difference itself, where it was wanted and there was room.
    pub text: String,
}

/// What differs between two trees.
#[derive(Debug, Default)]
pub struct Differences {
    /// The files, by path.
    pub files: Vec<Differs>,
    /// Not every text fitted.
    pub truncated: bool,
}

impl Trees {
    /// Keeps a workspace as it is.
    pub async fn snapshot(
        &self,
        user_id: Uuid,
        workspace_id: Uuid,
        reason: &str,
    ) -> Result<Snapshot, SandboxError> {
        let mut change = self.change(Writer::person(user_id), workspace_id).await?;
        let tree = change.tree().await?;
        let snapshot = change.keep(&tree, reason).await?;
        change.commit_locks().await?;
        Ok(snapshot)
    }

    /// Snapshots, newest first, after the one of this time and id.
    pub async fn snapshots(
        &self,
        user_id: Uuid,
        workspace_id: Uuid,
        after: Option<(OffsetDateTime, Uuid)>,
        most: i64,
    ) -> Result<Vec<Snapshot>, SandboxError> {
        self.0.store.snapshots(user_id, workspace_id, after, most).await
    }

    /// A file as it was in a snapshot: its hash and its content.
    pub async fn read_kept(
        &self,
        user_id: Uuid,
        workspace_id: Uuid,
        snapshot_id: Uuid,
        path: &JailPath,
    ) -> Result<(Hash, Vec<u8>), SandboxError> {
        let snapshot = self.0.store.snapshot(user_id, workspace_id, snapshot_id).await?;
        let tree = self.0.store.tree_of(&snapshot, path).await?;
        let sha256 = tree.get(path.as_str()).and_then(|kept| kept.sha256);
        let sha256 = sha256.ok_or(SandboxError::NotFound { what: "file" })?;
        let content = self.0.store.blob(&sha256).await?;
        let content =
            content.ok_or_else(|| SandboxError::Internal(format!("the content of {path} is missing")))?;
        Ok((sha256, content))
    }

    /// The states of a file in the snapshots, newest first.
    pub async fn history(
        &self,
        user_id: Uuid,
        workspace_id: Uuid,
        path: &JailPath,
    ) -> Result<Vec<State>, SandboxError> {
        self.0.store.history(user_id, workspace_id, path).await
    }

    /// What changed from one snapshot to another, or to the workspace as it is, at or below a path.
    pub async fn compare(
        &self,
        user_id: Uuid,
        workspace_id: Uuid,
        from: Uuid,
        to: Option<Uuid>,
        below: &JailPath,
        with_text: bool,
    ) -> Result<Differences, SandboxError> {
        let store = &self.0.store;
        let from = store.snapshot(user_id, workspace_id, from).await?;
        let old = store.tree_of(&from, below).await?;
        let new = match to {
            Some(to) => {
                let to = store.snapshot(user_id, workspace_id, to).await?;
                store.tree_of(&to, below).await?
            }
            None => {
                let files = store.files(user_id, workspace_id, below).await?;
                let kept = |file: crate::store::File| Kept {
                    sha256: Some(file.sha256),
                    size_bytes: file.size_bytes,
                    is_binary: file.trace.is_binary,
                };
                files.into_iter().map(|file| (file.path.clone(), kept(file))).collect()
            }
        };
        let mut answer = Differences::default();
        let mut room = if with_text { MOST_DIFF_BYTES } else { 0 };
        for part in differing(&old, &new).chunks(AT_ONCE) {
            let hashes: Vec<Hash> = part.iter().flat_map(|(_, sides)| *sides).flatten().collect();
            let contents = store.blobs(&hashes).await?;
            let text = |side: Option<Hash>| match side {
                Some(hash) => contents.get(&hash).and_then(|bytes| std::str::from_utf8(bytes).ok()),
                None => Some(""),
            };
            for (path, sides) in part {
                let how = match sides {
                    [None, _] => How::Added,
                    [_, None] => How::Removed,
                    _ => How::Changed,
                };
                let mut differs = Differs {
                    path: path.clone(),
                    how,
                    lines_added: 0,
                    lines_removed: 0,
                    text: String::new(),
                };
                if let [Some(old), Some(new)] = sides.map(text) {
                    (differs.lines_added, differs.lines_removed) = edit::counts(old, new);
                    if with_text {
                        let diff = edit::unified(path, old, new);
                        match room.checked_sub(diff.len()) {
                            Some(left) => (room, differs.text) = (left, diff),
                            None => answer.truncated = true,
                        }
                    }
                }
                answer.files.push(differs);
            }
        }
        Ok(answer)
    }

    /// Makes a workspace what it was, or some paths of it; answers the state before and what changed. All or nothing.
    pub async fn restore(
        &self,
        writer: Writer,
        workspace_id: Uuid,
        snapshot_id: Uuid,
        paths: &[JailPath],
    ) -> Result<(Snapshot, Vec<String>), SandboxError> {
        let cell = self.cell(workspace_id);
        let mut cell = cell.lock().await;
        let snapshot = self.0.store.snapshot(writer.user_id, workspace_id, snapshot_id).await?;
        let wanted = self.0.store.tree_of(&snapshot, &JailPath::root()).await?;
        let mut change = self.change(writer, workspace_id).await?;
        let now = change.tree().await?;
        let before = change.keep(&now, "before restoring").await?;
        let chosen = |path: &str| -> Result<bool, SandboxError> {
            let path = JailPath::file(path)?;
            Ok(paths.is_empty() || paths.iter().any(|chosen| path.is_within(chosen)))
        };
        let mut changed = Vec::new();
        for (path, there) in &now {
            if wanted.get(path).map(|kept| &kept.sha256) != Some(&there.sha256) && chosen(path)? {
                changed.push(path.clone());
            }
        }
        for path in wanted.keys().filter(|path| !now.contains_key(*path)) {
            if chosen(path)? {
                changed.push(path.clone());
            }
        }
        changed.sort();
        self.put_back(&mut change, &wanted, &changed).await?;
        change.commit().await?;
        let touched = changed.iter().map(|path| JailPath::file(path)).collect::<Result<Vec<_>, _>>()?;
        self.follow(present(&mut cell), writer.user_id, workspace_id, touched).await;
        Ok((before, changed))
    }

    /// Gives paths the state that a tree has for them.
    async fn put_back(
        &self,
        change: &mut Change,
        wanted: &Tree,
        paths: &[String],
    ) -> Result<(), SandboxError> {
        // what goes first makes room, and gets out of the way, for what comes
        let mut agents = BTreeMap::new();
        for path in paths {
            let jail_path = JailPath::file(path)?;
            agents.insert(path.clone(), change.may_write(&jail_path, Scope::File)?);
            let files: Vec<_> =
                change.files(&jail_path).await?.into_iter().filter(|file| file.path == *path).collect();
            change.delete(&files).await?;
            let folders: Vec<_> =
                change.folders(&jail_path).await?.into_iter().filter(|folder| folder == path).collect();
            change.remove_folders(&folders).await?;
        }
        for (path, agent) in agents {
            let Some(kept) = wanted.get(&path) else { continue };
            match kept.sha256 {
                Some(sha256) => {
                    let path = JailPath::file(&path)?;
                    self.check_room(change, &path, kept.size_bytes as u64, None).await?;
                    let trace = Trace { is_binary: kept.is_binary, agent, ..Trace::default() };
                    change.name(&path, &sha256, kept.size_bytes, None, &trace).await?;
                }
                None => change.make_folders(&[path]).await?,
            }
        }
        Ok(())
    }

    /// Makes a workspace from a snapshot, or from a workspace as it is.
    pub async fn fork(
        &self,
        user_id: Uuid,
        workspace_id: Uuid,
        snapshot_id: Option<Uuid>,
        name: &str,
    ) -> Result<Uuid, SandboxError> {
        let snapshot = match snapshot_id {
            Some(snapshot_id) => self.0.store.snapshot(user_id, workspace_id, snapshot_id).await?,
            None => self.snapshot(user_id, workspace_id, "before forking").await?,
        };
        let tree = self.0.store.tree_of(&snapshot, &JailPath::root()).await?;
        let fork = self.make_workspace(user_id, name).await?;
        let filled = async {
            let mut change = self.change(Writer::person(user_id), fork).await?;
            let paths: Vec<String> = tree.keys().cloned().collect();
            self.put_back(&mut change, &tree, &paths).await?;
            change.commit().await
        };
        if let Err(error) = filled.await {
            self.0.store.delete_workspace(user_id, fork).await?;
            return Err(error);
        }
        Ok(fork)
    }
}

/// The files in which two trees differ, by path, with the hash on each side.
fn differing(old: &Tree, new: &Tree) -> Vec<(String, [Option<Hash>; 2])> {
    let mut paths: Vec<&String> = old.keys().chain(new.keys()).collect();
    paths.sort();
    paths.dedup();
    let side = |tree: &Tree, path: &str| tree.get(path).and_then(|kept| kept.sha256);
    paths
        .into_iter()
        .map(|path| (path.clone(), [side(old, path), side(new, path)]))
        .filter(|(_, [old, new])| old != new)
        .collect()
}
