//! All SQL of the sandbox: workspaces, files, contents, locks, snapshots and runs. The owner is in every condition.

pub mod change;
pub mod locks;
pub mod runs;
pub mod snapshots;
pub mod uploads;

use std::collections::HashMap;

use sqlx::{PgPool, Postgres, Row as _, postgres::PgRow};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{error::SandboxError, fs::JailPath};

/// A SHA-256.
pub type Hash = [u8; 32];

/// A workspace.
#[derive(Debug, Clone)]
pub struct Workspace {
    /// Its id.
    pub workspace_id: Uuid,
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created_at: OffsetDateTime,
    /// Bytes of its files.
    pub used_bytes: i64,
    /// Its files.
    pub file_count: i64,
    /// Counts its changes.
    pub seq: i64,
    /// The one that is meant where none is named.
    pub is_default: bool,
}

/// A file that is there.
#[derive(Debug, Clone)]
pub struct File {
    /// Its path.
    pub path: String,
    /// Its version.
    pub version: i64,
    /// Its content's hash.
    pub sha256: Hash,
    /// Its length.
    pub size_bytes: i64,
    /// When it last changed.
    pub updated_at: OffsetDateTime,
    /// How that change came.
    pub trace: Trace,
}

/// How a file came to its state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trace {
    /// It is not text.
    pub is_binary: bool,
    /// Lines that came.
    pub lines_added: i32,
    /// Lines that went.
    pub lines_removed: i32,
    /// The agent that changed it; empty where a person did.
    pub agent: String,
}

/// What stands at a path, or stood there.
#[derive(Debug, Clone)]
pub enum Seen {
    /// A file.
    File(File),
    /// A folder that somebody made.
    Folder {
        /// Its path.
        path: String,
        /// When it was made.
        updated_at: OffsetDateTime,
    },
    /// A file that is gone.
    GoneFile(String),
    /// A folder that is gone.
    GoneFolder(String),
}

/// The sandbox's tables.
#[derive(Debug, Clone)]
pub struct Store {
    pool: PgPool,
}

fn workspace(row: &PgRow) -> Result<Workspace, sqlx::Error> {
    Ok(Workspace {
        workspace_id: row.try_get("workspace_id")?,
        name: row.try_get("name")?,
        created_at: row.try_get("created_at")?,
        used_bytes: row.try_get("used_bytes")?,
        file_count: row.try_get("file_count")?,
        seq: row.try_get("seq")?,
        is_default: row.try_get("is_default")?,
    })
}

fn hash(bytes: Vec<u8>) -> Result<Hash, sqlx::Error> {
    bytes.try_into().map_err(|_| sqlx::Error::Decode("a hash has 32 bytes".into()))
}

fn file(row: &PgRow) -> Result<File, sqlx::Error> {
    Ok(File {
        path: row.try_get("path")?,
        version: row.try_get("version")?,
        sha256: hash(row.try_get("sha256")?)?,
        size_bytes: row.try_get("size_bytes")?,
        updated_at: row.try_get("updated_at")?,
        trace: Trace {
            is_binary: row.try_get("is_binary")?,
            lines_added: row.try_get("lines_added")?,
            lines_removed: row.try_get("lines_removed")?,
            agent: row.try_get("changed_by_agent")?,
        },
    })
}

const FILE: &str =
    "path, version, sha256, size_bytes, updated_at, is_binary, lines_added, lines_removed, changed_by_agent";
const WORKSPACE: &str = "workspace_id, name, created_at, used_bytes, file_count, seq, is_default";

impl Store {
    /// On connections in the role `devstudio_sandbox`.
    pub fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    /// The connections, for what else the service keeps.
    pub(crate) fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// The person's default workspace, made at first use.
    pub async fn default_workspace(&self, user_id: Uuid, now: OffsetDateTime) -> Result<Uuid, SandboxError> {
        let find = "select workspace_id from workspaces where user_id = $1 and is_default";
        let found: Option<Uuid> = sqlx::query_scalar(find).bind(user_id).fetch_optional(&self.pool).await?;
        if let Some(found) = found {
            return Ok(found);
        }
        sqlx::query(
            "insert into workspaces (workspace_id, user_id, name, is_default, created_at)
             values ($1, $2, 'default', true, $3) on conflict do nothing",
        )
        .bind(Uuid::now_v7())
        .bind(user_id)
        .bind(now)
        .execute(&self.pool)
        .await?;
        Ok(sqlx::query_scalar(find).bind(user_id).fetch_one(&self.pool).await?)
    }

    /// The person's workspaces, the default one first.
    pub async fn workspaces(&self, user_id: Uuid) -> Result<Vec<Workspace>, SandboxError> {
        let sql = format!(
            "select {WORKSPACE} from workspaces where user_id = $1 order by is_default desc, created_at, workspace_id"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(user_id).fetch_all(&self.pool).await?;
        Ok(rows.iter().map(workspace).collect::<Result<_, _>>()?)
    }

    /// The workspace is there and the person's.
    pub async fn must_own(&self, user_id: Uuid, workspace_id: Uuid) -> Result<(), SandboxError> {
        sqlx::query_scalar::<_, i32>("select 1 from workspaces where workspace_id = $1 and user_id = $2")
            .bind(workspace_id)
            .bind(user_id)
            .fetch_optional(&self.pool)
            .await?
            .map(drop)
            .ok_or(SandboxError::NotFound { what: "workspace" })
    }

    /// One file of a person's workspace.
    pub async fn file(
        &self,
        user_id: Uuid,
        workspace_id: Uuid,
        path: &JailPath,
    ) -> Result<Option<File>, SandboxError> {
        let sql = format!(
            "select {FILE} from files join workspaces using (workspace_id)
             where workspace_id = $1 and user_id = $2 and path = $3 and sha256 is not null"
        );
        let row = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(workspace_id)
            .bind(user_id)
            .bind(path.as_str())
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.as_ref().map(file).transpose()?)
    }

    /// The files of a person's workspace at or below a path, sorted by path.
    pub async fn files(
        &self,
        user_id: Uuid,
        workspace_id: Uuid,
        below: &JailPath,
    ) -> Result<Vec<File>, SandboxError> {
        let sql = format!(
            "select {FILE} from files join workspaces using (workspace_id)
             where workspace_id = $1 and user_id = $2 and sha256 is not null
               and ($3 = '' or path = $3 or starts_with(path, $3 || '/')) order by path"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(workspace_id)
            .bind(user_id)
            .bind(below.as_str())
            .fetch_all(&self.pool)
            .await?;
        Ok(rows.iter().map(file).collect::<Result<_, _>>()?)
    }

    /// A content by its hash. Hashes come from rows of an owner, never from a caller.
    pub async fn blob(&self, sha256: &Hash) -> Result<Option<Vec<u8>>, SandboxError> {
        let sql = "select bytes from blobs where sha256 = $1";
        Ok(sqlx::query_scalar(sql).bind(&sha256[..]).fetch_optional(&self.pool).await?)
    }

    /// Keeps a content.
    pub async fn keep_blob(
        &self,
        sha256: &Hash,
        bytes: &[u8],
        now: OffsetDateTime,
    ) -> Result<(), SandboxError> {
        keep_blob(&self.pool, sha256, bytes, now).await
    }

    /// Removes contents that nothing names and that were not used for a day.
    pub async fn sweep_blobs(&self, now: OffsetDateTime) -> Result<u64, SandboxError> {
        let swept = sqlx::query(
            "delete from blobs b where used_at < $1
               and not exists (select 1 from files f where f.sha256 = b.sha256)
               and not exists (select 1 from snapshot_entries e where e.sha256 = b.sha256)
               and not exists (select 1 from exec_runs r where r.module_sha256 = b.sha256)",
        )
        .bind(now - time::Duration::days(1))
        .execute(&self.pool)
        .await?;
        Ok(swept.rows_affected())
    }

    /// Contents by their hashes. Hashes come from rows of an owner, never from a caller.
    pub async fn blobs(&self, hashes: &[Hash]) -> Result<HashMap<Hash, Vec<u8>>, SandboxError> {
        let wanted: Vec<&[u8]> = hashes.iter().map(|hash| &hash[..]).collect();
        let rows = sqlx::query("select sha256, bytes from blobs where sha256 = any($1)")
            .bind(wanted)
            .fetch_all(&self.pool)
            .await?;
        let read = |row: &PgRow| Ok((hash(row.try_get("sha256")?)?, row.try_get("bytes")?));
        Ok(rows.iter().map(read).collect::<Result<_, sqlx::Error>>()?)
    }

    /// The folders that somebody made at or below a path, by path.
    pub async fn folders(
        &self,
        user_id: Uuid,
        workspace_id: Uuid,
        below: &JailPath,
    ) -> Result<Vec<(String, OffsetDateTime)>, SandboxError> {
        Ok(sqlx::query_as(
            "select path, updated_at from folders join workspaces using (workspace_id)
             where workspace_id = $1 and user_id = $2 and not removed
               and ($3 = '' or path = $3 or starts_with(path, $3 || '/')) order by path",
        )
        .bind(workspace_id)
        .bind(user_id)
        .bind(below.as_str())
        .fetch_all(&self.pool)
        .await?)
    }

    /// What changed in a person's workspace after the change `after`, by path; and the last change.
    pub async fn changes(
        &self,
        user_id: Uuid,
        workspace_id: Uuid,
        after: i64,
    ) -> Result<(Vec<Seen>, i64), SandboxError> {
        // the number first: what is committed meanwhile is told again
        let last: i64 =
            sqlx::query_scalar("select seq from workspaces where workspace_id = $1 and user_id = $2")
                .bind(workspace_id)
                .bind(user_id)
                .fetch_optional(&self.pool)
                .await?
                .ok_or(SandboxError::NotFound { what: "workspace" })?;
        if last <= after {
            return Ok((Vec::new(), last));
        }
        // a first look has no use for what is gone
        let alive = if after == 0 { "and sha256 is not null" } else { "" };
        let sql = format!("select {FILE} from files where workspace_id = $1 and seq > $2 {alive}");
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(workspace_id)
            .bind(after)
            .fetch_all(&self.pool)
            .await?;
        let mut seen: Vec<(String, Seen)> = Vec::with_capacity(rows.len());
        for row in &rows {
            let path: String = row.try_get("path")?;
            let gone = row.try_get::<Option<Vec<u8>>, _>("sha256")?.is_none();
            seen.push((path.clone(), if gone { Seen::GoneFile(path) } else { Seen::File(file(row)?) }));
        }
        let rows: Vec<(String, bool, OffsetDateTime)> = sqlx::query_as(
            "select path, removed, updated_at from folders where workspace_id = $1 and seq > $2",
        )
        .bind(workspace_id)
        .bind(after)
        .fetch_all(&self.pool)
        .await?;
        for (path, removed, updated_at) in rows {
            match removed {
                true if after == 0 => {}
                true => seen.push((path.clone(), Seen::GoneFolder(path))),
                false => seen.push((path.clone(), Seen::Folder { path, updated_at })),
            }
        }
        seen.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok((seen.into_iter().map(|(_, seen)| seen).collect(), last))
    }

    /// Makes a workspace; the person has at most `most`.
    pub async fn make_workspace(
        &self,
        user_id: Uuid,
        name: &str,
        most: u32,
        now: OffsetDateTime,
    ) -> Result<Uuid, SandboxError> {
        let workspace_id = Uuid::now_v7();
        let made = sqlx::query(
            "insert into workspaces (workspace_id, user_id, name, created_at)
             select $1, $2, $3, $4 where (select count(*) from workspaces where user_id = $2) < $5",
        )
        .bind(workspace_id)
        .bind(user_id)
        .bind(name)
        .bind(now)
        .bind(i64::from(most))
        .execute(&self.pool)
        .await?;
        match made.rows_affected() {
            0 => {
                let most = most.into();
                Err(SandboxError::QuotaExceeded { unit: "workspaces", limit: most, used: most })
            }
            _ => Ok(workspace_id),
        }
    }

    /// Gives a workspace another name.
    pub async fn rename_workspace(
        &self,
        user_id: Uuid,
        workspace_id: Uuid,
        name: &str,
    ) -> Result<(), SandboxError> {
        let done = sqlx::query("update workspaces set name = $3 where workspace_id = $1 and user_id = $2")
            .bind(workspace_id)
            .bind(user_id)
            .bind(name)
            .execute(&self.pool)
            .await?;
        if done.rows_affected() == 0 { Err(SandboxError::NotFound { what: "workspace" }) } else { Ok(()) }
    }

    /// Deletes a workspace with all that is in it; not the default one.
    pub async fn delete_workspace(&self, user_id: Uuid, workspace_id: Uuid) -> Result<(), SandboxError> {
        let done =
            sqlx::query("delete from workspaces where workspace_id = $1 and user_id = $2 and not is_default")
                .bind(workspace_id)
                .bind(user_id)
                .execute(&self.pool)
                .await?;
        if done.rows_affected() > 0 {
            return Ok(());
        }
        self.must_own(user_id, workspace_id).await?;
        Err(SandboxError::State { why: "the default workspace stays" })
    }
}

async fn keep_blob(
    executor: impl sqlx::Executor<'_, Database = Postgres>,
    sha256: &Hash,
    bytes: &[u8],
    now: OffsetDateTime,
) -> Result<(), SandboxError> {
    sqlx::query(
        "insert into blobs (sha256, bytes, used_at) values ($1, $2, $3)
         on conflict (sha256) do update set used_at = greatest(blobs.used_at, excluded.used_at)",
    )
    .bind(&sha256[..])
    .bind(bytes)
    .bind(now)
    .execute(executor)
    .await?;
    Ok(())
}
