//! Whole paths of a workspace: deleted, moved, copied; folders made.

use uuid::Uuid;

use super::{Trees, check_version, copies::present};
use crate::{
    error::SandboxError,
    fs::JailPath,
    lock::{Scope, Writer},
    store::Trace,
};

impl Trees {
    /// Deletes a file, or a folder with all in it; answers how many files are gone.
    pub async fn delete(
        &self,
        writer: Writer,
        workspace_id: Uuid,
        path: &JailPath,
        if_version: Option<i64>,
    ) -> Result<usize, SandboxError> {
        let cell = self.cell(workspace_id);
        let mut cell = cell.lock().await;
        let mut change = self.change(writer, workspace_id).await?;
        change.may_write(path, Scope::Subtree)?;
        let (files, folders) = (change.files(path).await?, change.folders(path).await?);
        if files.is_empty() && folders.is_empty() {
            return Err(SandboxError::NotFound { what: "file" });
        }
        if if_version.is_some() {
            check_version(files.iter().find(|file| file.path == path.as_str()), if_version)?;
        }
        change.delete(&files).await?;
        change.remove_folders(&folders).await?;
        change.commit().await?;
        self.follow(present(&mut cell), writer.user_id, workspace_id, [path.clone()]).await;
        Ok(files.len())
    }

    /// Moves a file or folder; answers how many files moved.
    pub async fn rename(
        &self,
        writer: Writer,
        workspace_id: Uuid,
        from: &JailPath,
        to: &JailPath,
    ) -> Result<usize, SandboxError> {
        self.carry(writer, workspace_id, from, to, true).await
    }

    /// Copies a file or folder; answers how many files were copied.
    pub async fn copy(
        &self,
        writer: Writer,
        workspace_id: Uuid,
        from: &JailPath,
        to: &JailPath,
    ) -> Result<usize, SandboxError> {
        self.carry(writer, workspace_id, from, to, false).await
    }

    async fn carry(
        &self,
        writer: Writer,
        workspace_id: Uuid,
        from: &JailPath,
        to: &JailPath,
        away: bool,
    ) -> Result<usize, SandboxError> {
        let cell = self.cell(workspace_id);
        let mut cell = cell.lock().await;
        let mut change = self.change(writer, workspace_id).await?;
        let (files, folders) = (change.files(from).await?, change.folders(from).await?);
        if files.is_empty() && folders.is_empty() {
            return Err(SandboxError::NotFound { what: "file" });
        }
        if !change.files(to).await?.is_empty() || !change.folders(to).await?.is_empty() {
            return Err(SandboxError::AlreadyExists { what: to.to_string() });
        }
        if to.is_within(from) {
            return Err(SandboxError::PathForbidden {
                path: to.to_string(),
                why: "is inside of where it comes from",
            });
        }
        let agent = change.may_write(to, Scope::Subtree)?;
        if away {
            // One token names one lock; of where it comes from, nobody else may hold one.
            writer.beyond().may_write(&change.locks, from, Scope::Subtree)?;
            change.delete(&files).await?;
            change.remove_folders(&folders).await?;
        }
        let target = |path: &str| {
            JailPath::file(&format!("{to}{}", path.strip_prefix(from.as_str()).unwrap_or_default()))
        };
        for file in &files {
            let target = target(&file.path)?;
            self.check_room(&mut change, &target, file.size_bytes as u64, None).await?;
            let trace = Trace { is_binary: file.trace.is_binary, agent: agent.clone(), ..Default::default() };
            change.name(&target, &file.sha256, file.size_bytes, None, &trace).await?;
        }
        let folders: Vec<String> =
            folders.iter().map(|path| target(path).map(|path| path.to_string())).collect::<Result<_, _>>()?;
        change.make_folders(&folders).await?;
        change.commit().await?;
        let touched = if away { vec![from.clone(), to.clone()] } else { vec![to.clone()] };
        self.follow(present(&mut cell), writer.user_id, workspace_id, touched).await;
        Ok(files.len())
    }

    /// Makes an empty folder.
    pub async fn make_folder(
        &self,
        writer: Writer,
        workspace_id: Uuid,
        path: &JailPath,
    ) -> Result<(), SandboxError> {
        let cell = self.cell(workspace_id);
        let mut cell = cell.lock().await;
        let mut change = self.change(writer, workspace_id).await?;
        change.may_write(path, Scope::File)?;
        if !change.files(path).await?.is_empty() || !change.folders(path).await?.is_empty() {
            return Err(SandboxError::AlreadyExists { what: path.to_string() });
        }
        if change.in_the_way(path).await?.is_some() {
            return Err(SandboxError::PathForbidden { path: path.to_string(), why: "goes through a file" });
        }
        change.make_folders(&[path.to_string()]).await?;
        change.commit().await?;
        self.follow(present(&mut cell), writer.user_id, workspace_id, [path.clone()]).await;
        Ok(())
    }
}
