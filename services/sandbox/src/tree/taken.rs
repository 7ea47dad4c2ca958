//! What a run changed, taken over through the same rules as every write.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::{Trees, copies::present};
use crate::{
    error::SandboxError,
    fs::JailPath,
    lock::{Scope, Writer},
    process::changes::Change as Difference,
    store::change::Change,
};

/// What a run's changes came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Synced {
    /// Paths that were stored or removed.
    pub changed: Vec<String>,
    /// Paths that were refused, with the reason.
    pub rejected: BTreeMap<String, String>,
}

impl Trees {
    /// Takes over what a run changed, through the same rules as every write. Where it removed more than `most_removed`
    /// files, none of its removals is taken over.
    pub async fn apply(
        &self,
        writer: Writer,
        workspace_id: Uuid,
        differences: Vec<Difference>,
        most_removed: Option<usize>,
    ) -> Result<Synced, SandboxError> {
        let mut synced = Synced::default();
        if differences.is_empty() {
            return Ok(synced);
        }
        let cell = self.cell(workspace_id);
        let mut cell = cell.lock().await;
        let mut change = self.change(writer, workspace_id).await?;
        let kept = match most_removed {
            Some(most) => too_many(&mut change, &differences, most).await?,
            None => None,
        };
        let (mut changed, mut touched) = (BTreeSet::new(), BTreeSet::new());
        for difference in differences {
            let (path, done) = match difference {
                Difference::Rejected { path, why } => {
                    synced.rejected.insert(path, why);
                    continue;
                }
                Difference::Removed(path) => match &kept {
                    Some(why) => {
                        synced.rejected.insert(path.to_string(), why.clone());
                        continue;
                    }
                    None => (path.clone(), self.take_removal(&mut change, &path).await),
                },
                Difference::Written(path, content) => {
                    (path.clone(), self.take_write(&mut change, &path, &content).await)
                }
            };
            match done {
                Ok(paths) if paths.is_empty() => {}
                Ok(paths) => {
                    changed.extend(paths);
                    touched.insert(path);
                }
                Err(error @ (SandboxError::Database(_) | SandboxError::Internal(_))) => return Err(error),
                Err(error) => {
                    let reason = devstudio_kit::fault::name(error.reason());
                    synced.rejected.insert(path.to_string(), reason.to_owned());
                }
            }
        }
        change.commit().await?;
        synced.changed = changed.into_iter().collect();
        self.follow(present(&mut cell), writer.user_id, workspace_id, touched).await;
        Ok(synced)
    }

    /// Takes over that a program removed a path; answers the files that are gone.
    async fn take_removal(&self, change: &mut Change, path: &JailPath) -> Result<Vec<String>, SandboxError> {
        change.may_write(path, Scope::Subtree)?;
        let (files, folders) = (change.files(path).await?, change.folders(path).await?);
        change.delete(&files).await?;
        change.remove_folders(&folders).await?;
        Ok(files.into_iter().map(|file| file.path).chain(folders).collect())
    }

    /// Takes over that a program wrote a file; answers its path where that changed it.
    async fn take_write(
        &self,
        change: &mut Change,
        path: &JailPath,
        content: &[u8],
    ) -> Result<Vec<String>, SandboxError> {
        let old = change.file(path).await?;
        if old.as_ref().is_some_and(|old| old.sha256[..] == Sha256::digest(content)[..]) {
            return Ok(Vec::new());
        }
        let before = match &old {
            Some(old) => Some(change.content(old).await?),
            None => None,
        };
        self.put(change, path, content, old.as_ref(), before.as_deref()).await?;
        Ok(vec![path.to_string()])
    }
}

/// Why no removal is taken over: more files are gone than may be. What was written again is not gone.
async fn too_many(
    change: &mut Change,
    differences: &[Difference],
    most: usize,
) -> Result<Option<String>, SandboxError> {
    let (mut gone, mut written) = (BTreeSet::new(), BTreeSet::new());
    for difference in differences {
        match difference {
            Difference::Removed(path) => {
                gone.extend(change.files(path).await?.into_iter().map(|file| file.path));
            }
            Difference::Written(path, _) => drop(written.insert(path.as_str())),
            Difference::Rejected { .. } => {}
        }
    }
    let count = gone.iter().filter(|path| !written.contains(path.as_str())).count();
    Ok((count > most).then(|| format!("the program removed {count} files, where it may remove {most}")))
}
