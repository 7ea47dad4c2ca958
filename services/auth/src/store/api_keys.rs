//! SQL of API keys.

use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{
    Store, UserRow,
    audit::keep,
    notices::{Notice, tell},
    on_constraint,
};
use crate::{
    Error,
    audit::{Entry, Origin},
};

/// Most keys that a list shows.
const MOST_LISTED: i64 = 1000;

/// A key, without its secret.
#[derive(Clone, sqlx::FromRow)]
pub(crate) struct KeyRow {
    pub id: Uuid,
    pub user_id: Uuid,
    pub name: String,
    pub prefix: String,
    pub last_four: String,
    pub key_hash: Vec<u8>,
    pub expires_at: Option<OffsetDateTime>,
    pub revoked_at: Option<OffsetDateTime>,
    pub last_used_at: Option<OffsetDateTime>,
    pub created_at: OffsetDateTime,
}

/// A key to add.
pub(crate) struct NewKey<'a> {
    pub id: Uuid,
    pub user_id: Uuid,
    pub name: &'a str,
    pub prefix: &'a str,
    pub last_four: &'a str,
    pub key_hash: [u8; 32],
    pub expires_at: Option<OffsetDateTime>,
    pub at: OffsetDateTime,
}

impl Store {
    /// Has the person a live key of this name?
    pub async fn has_key_named(&self, user: Uuid, name: &str) -> Result<bool, Error> {
        let there: Option<i32> = sqlx::query_scalar(
            "select 1 from api_keys where user_id = $1 and name = $2 and revoked_at is null",
        )
        .bind(user)
        .bind(name)
        .fetch_optional(&self.pool)
        .await?;
        Ok(there.is_some())
    }

    /// Has any key this prefix?
    pub async fn has_prefix(&self, prefix: &str) -> Result<bool, Error> {
        let there: Option<i32> = sqlx::query_scalar("select 1 from api_keys where prefix = $1")
            .bind(prefix)
            .fetch_optional(&self.pool)
            .await?;
        Ok(there.is_some())
    }

    /// Adds a key.
    pub async fn add_key(&self, key: NewKey<'_>, entry: Entry<'_>) -> Result<KeyRow, Error> {
        let mut tx = self.pool.begin().await?;
        let row = sqlx::query_as(
            "insert into api_keys (id, user_id, name, prefix, last_four, key_hash, expires_at, created_at)
             values ($1, $2, $3, $4, $5, $6, $7, $8) returning *",
        )
        .bind(key.id)
        .bind(key.user_id)
        .bind(key.name)
        .bind(key.prefix)
        .bind(key.last_four)
        .bind(key.key_hash.as_slice())
        .bind(key.expires_at)
        .bind(key.at)
        .fetch_one(&mut *tx)
        .await
        .map_err(|error| on_constraint(error, "api_keys_name", Error::KeyNameTaken))?;
        keep(&mut tx, entry).await?;
        tx.commit().await?;
        Ok(row)
    }

    /// A person's keys, newest first.
    pub async fn keys(&self, user: Uuid) -> Result<Vec<KeyRow>, Error> {
        let rows = sqlx::query_as(
            "select * from api_keys where user_id = $1 order by created_at desc, id desc limit $2",
        );
        Ok(rows.bind(user).bind(MOST_LISTED).fetch_all(&self.pool).await?)
    }

    /// A key by id, for its owner or, without one named, for anybody.
    pub async fn key(&self, id: Uuid, owner: Option<Uuid>) -> Result<Option<KeyRow>, Error> {
        let row =
            sqlx::query_as("select * from api_keys where id = $1 and ($2::uuid is null or user_id = $2)");
        Ok(row.bind(id).bind(owner).fetch_optional(&self.pool).await?)
    }

    /// A key by the beginning of its text, and whose it is.
    pub async fn key_by_prefix(&self, prefix: &str) -> Result<Option<(KeyRow, UserRow)>, Error> {
        let key: Option<KeyRow> = sqlx::query_as("select * from api_keys where prefix = $1")
            .bind(prefix)
            .fetch_optional(&self.pool)
            .await?;
        let Some(key) = key else { return Ok(None) };
        Ok(self.user(key.user_id).await?.map(|user| (key, user)))
    }

    /// Revokes a key for good and tells every process. Says whether it was live.
    pub async fn revoke_key(&self, id: Uuid, at: OffsetDateTime, origin: &Origin) -> Result<bool, Error> {
        let mut tx = self.pool.begin().await?;
        let done = sqlx::query("update api_keys set revoked_at = $2 where id = $1 and revoked_at is null")
            .bind(id)
            .bind(at)
            .execute(&mut *tx)
            .await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        tell(&mut tx, Notice::Key(id)).await?;
        keep(&mut tx, origin.entry(at, "key.revoke", Some(id), serde_json::json!({}))).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Writes down that a key was used, at most once a minute.
    pub async fn key_used(&self, key: &KeyRow, at: OffsetDateTime) -> Result<(), Error> {
        let before = at - Duration::minutes(1);
        if key.last_used_at.is_some_and(|last| last > before) {
            return Ok(());
        }
        sqlx::query(
            "update api_keys set last_used_at = $2 where id = $1 and (last_used_at is null or last_used_at <= $3)",
        )
        .bind(key.id)
        .bind(at)
        .bind(before)
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}
