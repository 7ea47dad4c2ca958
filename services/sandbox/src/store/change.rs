//! A change of one workspace, in one transaction that holds its row: others wait until it stands or is dropped.

use sqlx::{Postgres, Row as _, Transaction};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{FILE, File, Hash, Store, Trace, WORKSPACE, Workspace, file, keep_blob, workspace};
use crate::{
    error::SandboxError,
    fs::JailPath,
    lock::{Lock, Scope, Writer},
};

/// Where watchers hear of changes.
pub const CHANNEL: &str = "devstudio_tree";

/// A change of a workspace.
pub struct Change {
    pub(super) transaction: Transaction<'static, Postgres>,
    /// The workspace as it is within the change.
    pub workspace: Workspace,
    /// When it is made.
    pub now: OffsetDateTime,
    /// Who makes it.
    pub writer: Writer,
    /// The locks that hold.
    pub locks: Vec<Lock>,
}

impl Store {
    /// Starts a change of a workspace; others wait until it is committed or dropped.
    pub async fn change(
        &self,
        writer: Writer,
        workspace_id: Uuid,
        now: OffsetDateTime,
    ) -> Result<Change, SandboxError> {
        let mut transaction = self.pool.begin().await?;
        let sql =
            format!("select {WORKSPACE} from workspaces where workspace_id = $1 and user_id = $2 for update");
        let row = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(workspace_id)
            .bind(writer.user_id)
            .fetch_optional(&mut *transaction)
            .await?;
        let mut workspace =
            row.as_ref().map(workspace).transpose()?.ok_or(SandboxError::NotFound { what: "workspace" })?;
        workspace.seq += 1;
        let locks = super::locks::held(&mut *transaction, workspace_id, now).await?;
        Ok(Change { transaction, workspace, now, writer, locks })
    }
}

impl Change {
    /// The agent that writes at a path, empty for the person; refuses a writer whom a lock keeps out.
    pub fn may_write(&self, path: &JailPath, scope: Scope) -> Result<String, SandboxError> {
        self.writer.may_write(&self.locks, path, scope).map(|holder| holder.agent)
    }

    /// A file as it is within the change.
    pub async fn file(&mut self, path: &JailPath) -> Result<Option<File>, SandboxError> {
        let sql =
            format!("select {FILE} from files where workspace_id = $1 and path = $2 and sha256 is not null");
        let row = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(self.workspace.workspace_id)
            .bind(path.as_str())
            .fetch_optional(&mut *self.transaction)
            .await?;
        Ok(row.as_ref().map(file).transpose()?)
    }

    /// The files at or below a path.
    pub async fn files(&mut self, below: &JailPath) -> Result<Vec<File>, SandboxError> {
        let sql = format!(
            "select {FILE} from files where workspace_id = $1 and sha256 is not null
               and ($2 = '' or path = $2 or starts_with(path, $2 || '/')) order by path"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(self.workspace.workspace_id)
            .bind(below.as_str())
            .fetch_all(&mut *self.transaction)
            .await?;
        Ok(rows.iter().map(file).collect::<Result<_, _>>()?)
    }

    /// The folders that somebody made at or below a path.
    pub async fn folders(&mut self, below: &JailPath) -> Result<Vec<String>, SandboxError> {
        Ok(sqlx::query_scalar(
            "select path from folders where workspace_id = $1 and not removed
               and ($2 = '' or path = $2 or starts_with(path, $2 || '/')) order by path",
        )
        .bind(self.workspace.workspace_id)
        .bind(below.as_str())
        .fetch_all(&mut *self.transaction)
        .await?)
    }

    /// The content of a file of this workspace.
    pub async fn content(&mut self, file: &File) -> Result<Vec<u8>, SandboxError> {
        sqlx::query_scalar("select bytes from blobs where sha256 = $1")
            .bind(&file.sha256[..])
            .fetch_optional(&mut *self.transaction)
            .await?
            .ok_or_else(|| SandboxError::Internal(format!("the content of {} is missing", file.path)))
    }

    /// What stands where `path`, as a file, would have to be: a file above it, or a folder at it.
    pub async fn in_the_way(&mut self, path: &JailPath) -> Result<Option<String>, SandboxError> {
        let above: Vec<&str> = path.as_str().match_indices('/').map(|(at, _)| &path.as_str()[..at]).collect();
        Ok(sqlx::query_scalar(
            // what is below a path lies between it with / and it with 0, the character after /; the key has the order
            "select path from files where workspace_id = $1 and sha256 is not null and path = any($2)
             union all
             select path from files where workspace_id = $1 and sha256 is not null
               and path > $3 || '/' and path < $3 || '0'
             union all
             select path || '/' from folders where workspace_id = $1 and not removed and path = $3
             limit 1",
        )
        .bind(self.workspace.workspace_id)
        .bind(above)
        .bind(path.as_str())
        .fetch_optional(&mut *self.transaction)
        .await?)
    }

    /// Writes a file; answers its new version. `old` is the file as it was.
    pub async fn put(
        &mut self,
        path: &JailPath,
        sha256: &Hash,
        bytes: &[u8],
        old: Option<&File>,
        trace: &Trace,
    ) -> Result<i64, SandboxError> {
        keep_blob(&mut *self.transaction, sha256, bytes, self.now).await?;
        self.name(path, sha256, bytes.len() as i64, old, trace).await
    }

    /// Gives a content that is kept already to a path.
    pub async fn name(
        &mut self,
        path: &JailPath,
        sha256: &Hash,
        size_bytes: i64,
        old: Option<&File>,
        trace: &Trace,
    ) -> Result<i64, SandboxError> {
        let version = sqlx::query_scalar(
            "insert into files (workspace_id, path, version, sha256, size_bytes, updated_at, seq, is_binary,
                                lines_added, lines_removed, changed_by_agent)
             values ($1, $2, 1, $3, $4, $5, $6, $7, $8, $9, $10)
             on conflict on constraint files_pkey do update
               set version = files.version + 1, sha256 = excluded.sha256, size_bytes = excluded.size_bytes,
                   updated_at = excluded.updated_at, seq = excluded.seq, is_binary = excluded.is_binary,
                   lines_added = excluded.lines_added, lines_removed = excluded.lines_removed,
                   changed_by_agent = excluded.changed_by_agent
             returning version",
        )
        .bind(self.workspace.workspace_id)
        .bind(path.as_str())
        .bind(&sha256[..])
        .bind(size_bytes)
        .bind(self.now)
        .bind(self.workspace.seq)
        .bind(trace.is_binary)
        .bind(trace.lines_added)
        .bind(trace.lines_removed)
        .bind(&trace.agent)
        .fetch_one(&mut *self.transaction)
        .await?;
        self.workspace.used_bytes += size_bytes - old.map_or(0, |old| old.size_bytes);
        self.workspace.file_count += i64::from(old.is_none());
        Ok(version)
    }

    /// Deletes files; their versions go on counting.
    pub async fn delete(&mut self, files: &[File]) -> Result<(), SandboxError> {
        let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
        sqlx::query(
            "update files set sha256 = null, size_bytes = 0, updated_at = $3, seq = $4
             where workspace_id = $1 and path = any($2) and sha256 is not null",
        )
        .bind(self.workspace.workspace_id)
        .bind(paths)
        .bind(self.now)
        .bind(self.workspace.seq)
        .execute(&mut *self.transaction)
        .await?;
        self.workspace.used_bytes -= files.iter().map(|file| file.size_bytes).sum::<i64>();
        self.workspace.file_count -= files.len() as i64;
        Ok(())
    }

    /// Makes folders that stay without files.
    pub async fn make_folders(&mut self, paths: &[String]) -> Result<(), SandboxError> {
        self.set_folders(paths, false).await
    }

    /// Removes folders that somebody made.
    pub async fn remove_folders(&mut self, paths: &[String]) -> Result<(), SandboxError> {
        self.set_folders(paths, true).await
    }

    async fn set_folders(&mut self, paths: &[String], removed: bool) -> Result<(), SandboxError> {
        if paths.is_empty() {
            return Ok(());
        }
        sqlx::query(
            "insert into folders (workspace_id, path, seq, removed, updated_at)
             select $1, path, $3, $4, $5 from unnest($2::text[]) as path
             on conflict on constraint folders_pkey do update
               set seq = excluded.seq, removed = excluded.removed, updated_at = excluded.updated_at",
        )
        .bind(self.workspace.workspace_id)
        .bind(paths)
        .bind(self.workspace.seq)
        .bind(removed)
        .bind(self.now)
        .execute(&mut *self.transaction)
        .await?;
        Ok(())
    }

    /// Makes the change stand, and tells watchers.
    pub async fn commit(mut self) -> Result<(), SandboxError> {
        sqlx::query(
            "update workspaces set used_bytes = $2, file_count = $3, seq = $4 where workspace_id = $1",
        )
        .bind(self.workspace.workspace_id)
        .bind(self.workspace.used_bytes)
        .bind(self.workspace.file_count)
        .bind(self.workspace.seq)
        .execute(&mut *self.transaction)
        .await?;
        self.tell().await?;
        Ok(self.transaction.commit().await?)
    }

    /// Makes a change of locks stand, and tells watchers.
    pub async fn commit_locks(mut self) -> Result<(), SandboxError> {
        self.tell().await?;
        Ok(self.transaction.commit().await?)
    }

    async fn tell(&mut self) -> Result<(), SandboxError> {
        sqlx::query("select pg_notify($1, $2)")
            .bind(CHANNEL)
            .bind(self.workspace.workspace_id.to_string())
            .execute(&mut *self.transaction)
            .await?;
        Ok(())
    }

    /// The next fencing token of the workspace.
    pub(super) async fn next_fence(&mut self) -> Result<i64, SandboxError> {
        let row =
            sqlx::query("update workspaces set fence = fence + 1 where workspace_id = $1 returning fence")
                .bind(self.workspace.workspace_id)
                .fetch_one(&mut *self.transaction)
                .await?;
        Ok(row.try_get("fence")?)
    }
}
