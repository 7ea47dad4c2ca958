//! The rows of locks.

use sqlx::{PgExecutor, Row as _, postgres::PgRow};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Store, change::Change};
use crate::{
    error::SandboxError,
    fs::JailPath,
    lock::{Holder, Lock, Mode, Scope, Wish},
};

const LOCK: &str =
    "lock_id, workspace_id, path, scope, mode, owner_user, owner_agent, task_id, fencing_token, pinned,
    unlock_request, locks.created_at, expires_at";

fn lock(row: &PgRow) -> Result<Lock, SandboxError> {
    let (path, scope, mode): (String, String, String) =
        (row.try_get("path")?, row.try_get("scope")?, row.try_get("mode")?);
    Ok(Lock {
        lock_id: row.try_get("lock_id")?,
        workspace_id: row.try_get("workspace_id")?,
        path: JailPath::folder(&path)?,
        scope: if scope == Scope::Subtree.name() { Scope::Subtree } else { Scope::File },
        mode: if mode == Mode::Shared.name() { Mode::Shared } else { Mode::Exclusive },
        holder: Holder {
            user_id: row.try_get("owner_user")?,
            agent: row.try_get("owner_agent")?,
            task_id: row.try_get("task_id")?,
        },
        fencing_token: row.try_get("fencing_token")?,
        pinned: row.try_get("pinned")?,
        unlock_request: row.try_get("unlock_request")?,
        created_at: row.try_get("created_at")?,
        expires_at: row.try_get("expires_at")?,
    })
}

/// The locks of a workspace that hold, by path. Whoever asks has seen that the workspace is the caller's.
pub(super) async fn held(
    executor: impl PgExecutor<'_>,
    workspace_id: Uuid,
    now: OffsetDateTime,
) -> Result<Vec<Lock>, SandboxError> {
    let sql = format!(
        "select {LOCK} from locks where workspace_id = $1 and (expires_at is null or expires_at > $2)
         order by path, fencing_token"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(workspace_id).bind(now).fetch_all(executor).await?;
    rows.iter().map(lock).collect()
}

impl Store {
    /// The locks of a person's workspace that hold, by path.
    pub async fn locks(
        &self,
        user_id: Uuid,
        workspace_id: Uuid,
        now: OffsetDateTime,
    ) -> Result<Vec<Lock>, SandboxError> {
        self.must_own(user_id, workspace_id).await?;
        held(&self.pool, workspace_id, now).await
    }

    /// A lock that holds and is the person's; anybody's where `any`.
    pub async fn lock(
        &self,
        user_id: Uuid,
        any: bool,
        lock_id: Uuid,
        now: OffsetDateTime,
    ) -> Result<Lock, SandboxError> {
        let sql = format!(
            "select {LOCK} from locks join workspaces using (workspace_id)
             where lock_id = $1 and (user_id = $2 or $3) and (expires_at is null or expires_at > $4)"
        );
        let row = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(lock_id)
            .bind(user_id)
            .bind(any)
            .bind(now)
            .fetch_optional(&self.pool)
            .await?;
        row.as_ref().map(lock).transpose()?.ok_or(SandboxError::NotFound { what: "lock" })
    }

    /// Removes a lock, and tells watchers. The caller has seen whose it is.
    pub async fn drop_lock(&self, lock: &Lock) -> Result<(), SandboxError> {
        sqlx::query("with gone as (delete from locks where lock_id = $1) select pg_notify($2, $3)")
            .bind(lock.lock_id)
            .bind(super::change::CHANNEL)
            .bind(lock.workspace_id.to_string())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Notes that somebody wants a lock released, and tells watchers. The caller has seen whose it is.
    pub async fn want_lock(&self, lock: &Lock, message: &str) -> Result<(), SandboxError> {
        sqlx::query(
            "with wanted as (update locks set unlock_request = $4 where lock_id = $1) select pg_notify($2, $3)",
        )
        .bind(lock.lock_id)
        .bind(super::change::CHANNEL)
        .bind(lock.workspace_id.to_string())
        .bind(message)
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}

impl Change {
    /// Gives a lock that is held already a later end.
    pub async fn renew(&mut self, lock: &Lock, wish: &Wish) -> Result<Lock, SandboxError> {
        let sql = format!(
            "update locks set expires_at = $2, unlock_request = '' where lock_id = $1 returning {LOCK}"
        );
        let row = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(lock.lock_id)
            .bind(wish.ttl.map(|ttl| self.now + ttl))
            .fetch_one(&mut *self.transaction)
            .await?;
        self::lock(&row)
    }

    /// Takes a lock in the place of `gone`, and forgets those that ended.
    pub async fn take(&mut self, wish: &Wish, gone: &[Uuid]) -> Result<Lock, SandboxError> {
        sqlx::query("delete from locks where workspace_id = $1 and (lock_id = any($2) or expires_at <= $3)")
            .bind(self.workspace.workspace_id)
            .bind(gone)
            .bind(self.now)
            .execute(&mut *self.transaction)
            .await?;
        let fencing_token = self.next_fence().await?;
        let sql = format!(
            "insert into locks (lock_id, workspace_id, path, scope, mode, owner_user, owner_agent, task_id,
                                fencing_token, pinned, created_at, expires_at)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) returning {LOCK}"
        );
        let row = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(Uuid::now_v7())
            .bind(self.workspace.workspace_id)
            .bind(wish.path.as_str())
            .bind(wish.scope.name())
            .bind(wish.mode.name())
            .bind(wish.holder.user_id)
            .bind(&wish.holder.agent)
            .bind(wish.holder.task_id)
            .bind(fencing_token)
            .bind(wish.ttl.is_none())
            .bind(self.now)
            .bind(wish.ttl.map(|ttl| self.now + ttl))
            .fetch_one(&mut *self.transaction)
            .await?;
        lock(&row)
    }
}
