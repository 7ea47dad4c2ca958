//! All SQL of the sandbox: workspaces, files, contents and runs. The owner is in every condition.

pub mod runs;

use sqlx::{PgPool, Postgres, Row as _, Transaction, postgres::PgRow};
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
    })
}

const FILE: &str = "path, version, sha256, size_bytes, updated_at";
const WORKSPACE: &str = "workspace_id, name, created_at, used_bytes, file_count";

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
               and not exists (select 1 from exec_runs r where r.module_sha256 = b.sha256)",
        )
        .bind(now - time::Duration::days(1))
        .execute(&self.pool)
        .await?;
        Ok(swept.rows_affected())
    }

    /// Starts a change of a workspace; others wait until it is committed or dropped.
    pub async fn change(&self, user_id: Uuid, workspace_id: Uuid) -> Result<Change, SandboxError> {
        let mut transaction = self.pool.begin().await?;
        let sql =
            format!("select {WORKSPACE} from workspaces where workspace_id = $1 and user_id = $2 for update");
        let row = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(workspace_id)
            .bind(user_id)
            .fetch_optional(&mut *transaction)
            .await?;
        let workspace =
            row.as_ref().map(workspace).transpose()?.ok_or(SandboxError::NotFound { what: "workspace" })?;
        Ok(Change { transaction, workspace })
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

/// A change of one workspace, in one transaction that holds its row.
pub struct Change {
    transaction: Transaction<'static, Postgres>,
    /// The workspace as it is within the change.
    pub workspace: Workspace,
}

impl Change {
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

    /// A file that stands where a folder of `path` would have to be, or below `path` as if it were a folder.
    pub async fn in_the_way(&mut self, path: &JailPath) -> Result<Option<String>, SandboxError> {
        let above: Vec<String> =
            path.as_str().match_indices('/').map(|(at, _)| path.as_str()[..at].to_owned()).collect();
        Ok(sqlx::query_scalar(
            "select path from files where workspace_id = $1 and sha256 is not null
               and (path = any($2) or starts_with(path, $3 || '/')) limit 1",
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
        now: OffsetDateTime,
    ) -> Result<i64, SandboxError> {
        keep_blob(&mut *self.transaction, sha256, bytes, now).await?;
        self.name(path, sha256, bytes.len() as i64, old, now).await
    }

    /// Gives a content that is kept already to a path.
    pub async fn name(
        &mut self,
        path: &JailPath,
        sha256: &Hash,
        size_bytes: i64,
        old: Option<&File>,
        now: OffsetDateTime,
    ) -> Result<i64, SandboxError> {
        let version = sqlx::query_scalar(
            "insert into files (workspace_id, path, version, sha256, size_bytes, updated_at)
             values ($1, $2, 1, $3, $4, $5)
             on conflict on constraint files_pkey do update
               set version = files.version + 1, sha256 = excluded.sha256, size_bytes = excluded.size_bytes,
                   updated_at = excluded.updated_at
             returning version",
        )
        .bind(self.workspace.workspace_id)
        .bind(path.as_str())
        .bind(&sha256[..])
        .bind(size_bytes)
        .bind(now)
        .fetch_one(&mut *self.transaction)
        .await?;
        self.workspace.used_bytes += size_bytes - old.map_or(0, |old| old.size_bytes);
        self.workspace.file_count += i64::from(old.is_none());
        Ok(version)
    }

    /// Deletes files; their versions go on counting.
    pub async fn delete(&mut self, files: &[File], now: OffsetDateTime) -> Result<(), SandboxError> {
        let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
        sqlx::query(
            "update files set sha256 = null, size_bytes = 0, updated_at = $3
             where workspace_id = $1 and path = any($2) and sha256 is not null",
        )
        .bind(self.workspace.workspace_id)
        .bind(paths)
        .bind(now)
        .execute(&mut *self.transaction)
        .await?;
        self.workspace.used_bytes -= files.iter().map(|file| file.size_bytes).sum::<i64>();
        self.workspace.file_count -= files.len() as i64;
        Ok(())
    }

    /// Makes the change stand.
    pub async fn commit(mut self) -> Result<(), SandboxError> {
        sqlx::query("update workspaces set used_bytes = $2, file_count = $3 where workspace_id = $1")
            .bind(self.workspace.workspace_id)
            .bind(self.workspace.used_bytes)
            .bind(self.workspace.file_count)
            .execute(&mut *self.transaction)
            .await?;
        Ok(self.transaction.commit().await?)
    }
}
