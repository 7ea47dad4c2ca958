//! The rows of snapshots: a tree by the hash of its paths and contents, and who kept it when.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};
use sqlx::{Row as _, postgres::PgRow};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Hash, Store, change::Change, hash};
use crate::{error::SandboxError, fs::JailPath};

/// Whoever keeps a tree shares it; whoever sweeps trees has it alone.
const SWEEP_LOCK: &str = "devstudio.snapshots";

/// A workspace as it was.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Its id.
    pub snapshot_id: Uuid,
    /// The one before it.
    pub parent_id: Option<Uuid>,
    /// The hash of all paths and contents.
    pub tree_sha256: Hash,
    /// Why it was made.
    pub reason: String,
    /// When it was made.
    pub created_at: OffsetDateTime,
    /// Its files.
    pub file_count: i64,
    /// Bytes of its files.
    pub size_bytes: i64,
}

/// What stood at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The content's hash; none: a folder.
    pub sha256: Option<Hash>,
    /// The content's length.
    pub size_bytes: i64,
    /// It is not text.
    pub is_binary: bool,
}

/// What stood where.
pub type Tree = BTreeMap<String, Kept>;

/// A state of a file, and the newest snapshot that has it.
#[derive(Debug, Clone)]
pub struct State {
    /// The snapshot.
    pub snapshot_id: Uuid,
    /// Its reason.
    pub reason: String,
    /// When it was made.
    pub created_at: OffsetDateTime,
    /// The content's hash.
    pub sha256: Hash,
    /// The content's length.
    pub size_bytes: i64,
}

const SNAPSHOT: &str =
    "snapshot_id, parent_id, tree_sha256, reason, snapshots.created_at, snapshots.file_count, size_bytes";

fn snapshot(row: &PgRow) -> Result<Snapshot, sqlx::Error> {
    Ok(Snapshot {
        snapshot_id: row.try_get("snapshot_id")?,
        parent_id: row.try_get("parent_id")?,
        tree_sha256: hash(row.try_get("tree_sha256")?)?,
        reason: row.try_get("reason")?,
        created_at: row.try_get("created_at")?,
        file_count: row.try_get("file_count")?,
        size_bytes: row.try_get("size_bytes")?,
    })
}

fn kept(row: &PgRow) -> Result<(String, Kept), sqlx::Error> {
    let sha256: Option<Vec<u8>> = row.try_get("sha256")?;
    let kept = Kept {
        sha256: sha256.map(hash).transpose()?,
        size_bytes: row.try_get("size_bytes")?,
        is_binary: row.try_get("is_binary")?,
    };
    Ok((row.try_get("path")?, kept))
}

/// The hash of a tree: of each path, in order, its length, itself and its content's hash or that it is a folder.
fn hash_of(tree: &Tree) -> Hash {
    let mut hasher = Sha256::new();
    for (path, kept) in tree {
        hasher.update((path.len() as u64).to_be_bytes());
        hasher.update(path);
        match &kept.sha256 {
            Some(sha256) => hasher.update([&[1], &sha256[..]].concat()),
            None => hasher.update([0]),
        }
    }
    hasher.finalize().into()
}

impl Change {
    /// The workspace as it is within the change.
    pub async fn tree(&mut self) -> Result<Tree, SandboxError> {
        let rows = sqlx::query(
            "select path, sha256, size_bytes, is_binary from files where workspace_id = $1 and sha256 is not null
             union all
             select path, null, 0, false from folders where workspace_id = $1 and not removed",
        )
        .bind(self.workspace.workspace_id)
        .fetch_all(&mut *self.transaction)
        .await?;
        Ok(rows.iter().map(kept).collect::<Result<_, _>>()?)
    }

    /// The hash of the workspace as it is within the change.
    pub async fn tree_sha256(&mut self) -> Result<Hash, SandboxError> {
        Ok(hash_of(&self.tree().await?))
    }

    /// Keeps a tree as a snapshot.
    pub async fn keep(&mut self, tree: &Tree, reason: &str) -> Result<Snapshot, SandboxError> {
        let tree_sha256 = hash_of(tree);
        // a tree that is known must not be swept before this snapshot of it stands
        sqlx::query("select pg_advisory_xact_lock_shared(hashtext($1))")
            .bind(SWEEP_LOCK)
            .execute(&mut *self.transaction)
            .await?;
        let known: bool =
            sqlx::query_scalar("select exists (select 1 from snapshot_entries where tree_sha256 = $1)")
                .bind(&tree_sha256[..])
                .fetch_one(&mut *self.transaction)
                .await?;
        if !known {
            let paths: Vec<&str> = tree.keys().map(String::as_str).collect();
            let hashes: Vec<Option<&[u8]>> =
                tree.values().map(|kept| kept.sha256.as_ref().map(|hash| &hash[..])).collect();
            let sizes: Vec<i64> = tree.values().map(|kept| kept.size_bytes).collect();
            let binary: Vec<bool> = tree.values().map(|kept| kept.is_binary).collect();
            sqlx::query(
                "insert into snapshot_entries (tree_sha256, path, sha256, size_bytes, is_binary)
                 select $1, * from unnest($2::text[], $3::bytea[], $4::bigint[], $5::boolean[])
                 on conflict do nothing",
            )
            .bind(&tree_sha256[..])
            .bind(paths)
            .bind(hashes)
            .bind(sizes)
            .bind(binary)
            .execute(&mut *self.transaction)
            .await?;
        }
        let sql = format!(
            "insert into snapshots (snapshot_id, workspace_id, parent_id, tree_sha256, reason, created_by,
                                    created_at, file_count, size_bytes)
             values ($1, $2, (select snapshot_id from snapshots where workspace_id = $2
                              order by created_at desc, snapshot_id desc limit 1), $3, $4, $5, $6, $7, $8)
             returning {SNAPSHOT}"
        );
        let row = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(Uuid::now_v7())
            .bind(self.workspace.workspace_id)
            .bind(&tree_sha256[..])
            .bind(reason)
            .bind(self.writer.user_id)
            .bind(self.now)
            .bind(tree.values().filter(|kept| kept.sha256.is_some()).count() as i64)
            .bind(tree.values().map(|kept| kept.size_bytes).sum::<i64>())
            .fetch_one(&mut *self.transaction)
            .await?;
        Ok(snapshot(&row)?)
    }
}

impl Store {
    /// A snapshot of a person's workspace.
    pub async fn snapshot(
        &self,
        user_id: Uuid,
        workspace_id: Uuid,
        snapshot_id: Uuid,
    ) -> Result<Snapshot, SandboxError> {
        let sql = format!(
            "select {SNAPSHOT} from snapshots join workspaces using (workspace_id)
             where workspace_id = $1 and user_id = $2 and snapshot_id = $3"
        );
        let row = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(workspace_id)
            .bind(user_id)
            .bind(snapshot_id)
            .fetch_optional(&self.pool)
            .await?;
        row.as_ref().map(snapshot).transpose()?.ok_or(SandboxError::NotFound { what: "snapshot" })
    }

    /// Snapshots of a person's workspace, newest first, after the one of this time and id.
    pub async fn snapshots(
        &self,
        user_id: Uuid,
        workspace_id: Uuid,
        after: Option<(OffsetDateTime, Uuid)>,
        most: i64,
    ) -> Result<Vec<Snapshot>, SandboxError> {
        self.must_own(user_id, workspace_id).await?;
        let sql = format!(
            "select {SNAPSHOT} from snapshots
             where workspace_id = $1 and ($2::timestamptz is null or (created_at, snapshot_id) < ($2, $3))
             order by created_at desc, snapshot_id desc limit $4"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(workspace_id)
            .bind(after.map(|(at, _)| at))
            .bind(after.map(|(_, id)| id))
            .bind(most)
            .fetch_all(&self.pool)
            .await?;
        Ok(rows.iter().map(snapshot).collect::<Result<_, _>>()?)
    }

    /// What stood where in a snapshot, at or below a path. The snapshot comes from [`Self::snapshot`].
    pub async fn tree_of(&self, snapshot: &Snapshot, below: &JailPath) -> Result<Tree, SandboxError> {
        let rows = sqlx::query(
            "select path, sha256, size_bytes, is_binary from snapshot_entries
             where tree_sha256 = $1 and ($2 = '' or path = $2 or starts_with(path, $2 || '/'))",
        )
        .bind(&snapshot.tree_sha256[..])
        .bind(below.as_str())
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.iter().map(kept).collect::<Result<_, _>>()?)
    }

    /// The states of a file in the snapshots of a person's workspace, newest first, each run of equal ones once.
    pub async fn history(
        &self,
        user_id: Uuid,
        workspace_id: Uuid,
        path: &JailPath,
    ) -> Result<Vec<State>, SandboxError> {
        self.must_own(user_id, workspace_id).await?;
        let rows = sqlx::query(
            "select snapshot_id, reason, created_at, sha256, size_bytes from (
               select s.snapshot_id, s.reason, s.created_at, e.sha256, e.size_bytes,
                      lag(e.sha256) over (order by s.created_at desc, s.snapshot_id desc) as newer
                 from snapshots s join snapshot_entries e using (tree_sha256)
                where s.workspace_id = $1 and e.path = $2 and e.sha256 is not null
             ) states
             where newer is distinct from sha256 order by created_at desc, snapshot_id desc limit 500",
        )
        .bind(workspace_id)
        .bind(path.as_str())
        .fetch_all(&self.pool)
        .await?;
        let state = |row: &PgRow| {
            Ok(State {
                snapshot_id: row.try_get("snapshot_id")?,
                reason: row.try_get("reason")?,
                created_at: row.try_get("created_at")?,
                sha256: hash(row.try_get("sha256")?)?,
                size_bytes: row.try_get("size_bytes")?,
            })
        };
        Ok(rows.iter().map(state).collect::<Result<_, sqlx::Error>>()?)
    }

    /// Removes trees that no snapshot has any more.
    pub async fn sweep_trees(&self) -> Result<u64, SandboxError> {
        let mut transaction = self.pool.begin().await?;
        sqlx::query("select pg_advisory_xact_lock(hashtext($1))")
            .bind(SWEEP_LOCK)
            .execute(&mut *transaction)
            .await?;
        let swept = sqlx::query(
            "delete from snapshot_entries e
             where not exists (select 1 from snapshots s where s.tree_sha256 = e.tree_sha256)",
        )
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(swept.rows_affected())
    }
}
