//! The SQL of Idempotency-Keys.

use time::OffsetDateTime;
use uuid::Uuid;

use super::Store;

impl Store {
    /// Takes a key that is free, abandoned, or too old. Returns whether it did.
    pub async fn take_idempotency_key(
        &self,
        user: Uuid,
        key: &str,
        request_sha256: &str,
        now: OffsetDateTime,
        abandoned: OffsetDateTime,
        expired: OffsetDateTime,
    ) -> Result<bool, sqlx::Error> {
        let taken = sqlx::query(
            "insert into idempotency_keys as k (user_id, key, request_sha256, created_at) values ($1, $2, $3, $4)
             on conflict on constraint idempotency_keys_pk do update
             set request_sha256 = excluded.request_sha256, created_at = excluded.created_at, answer_json = null
             where k.created_at < $6 or (k.answer_json is null and k.created_at < $5)",
        )
        .bind(user)
        .bind(key)
        .bind(request_sha256)
        .bind(now)
        .bind(abandoned)
        .bind(expired)
        .execute(&self.pool)
        .await?;
        Ok(taken.rows_affected() == 1)
    }

    /// The hash and the answer under a key.
    pub async fn idempotency_key(
        &self,
        user: Uuid,
        key: &str,
    ) -> Result<Option<(String, Option<String>)>, sqlx::Error> {
        sqlx::query_as(
            "select request_sha256, answer_json from idempotency_keys where user_id = $1 and key = $2",
        )
        .bind(user)
        .bind(key)
        .fetch_optional(&self.pool)
        .await
    }

    /// Stores the answer of a call that is in progress, or gives its key back.
    pub async fn end_idempotency_key(
        &self,
        user: Uuid,
        key: &str,
        answer_json: Option<&str>,
    ) -> Result<(), sqlx::Error> {
        let query = match answer_json {
            Some(answer) => sqlx::query(
                "update idempotency_keys set answer_json = $3 where user_id = $1 and key = $2 and answer_json is null",
            )
            .bind(user)
            .bind(key)
            .bind(answer),
            None => sqlx::query("delete from idempotency_keys where user_id = $1 and key = $2 and answer_json is null")
                .bind(user)
                .bind(key),
        };
        query.execute(&self.pool).await.map(drop)
    }

    /// Forgets what is too old.
    pub async fn sweep_idempotency_keys(&self, expired: OffsetDateTime) -> Result<(), sqlx::Error> {
        let query = sqlx::query("delete from idempotency_keys where created_at < $1").bind(expired);
        query.execute(&self.pool).await.map(drop)
    }
}
