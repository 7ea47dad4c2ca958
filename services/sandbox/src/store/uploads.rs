//! The rows of uploads and their parts.

use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{Hash, Store};
use crate::error::SandboxError;

/// How long an upload is kept.
const KEEP: Duration = Duration::days(1);
/// How long one may stay unfinished after its last part.
const KEEP_UNFINISHED: Duration = Duration::hours(1);

/// A finished upload.
#[derive(Debug, Clone, Copy)]
pub struct Upload {
    /// Its id.
    pub upload_id: Uuid,
    /// Its length.
    pub size_bytes: i64,
}

impl Store {
    /// Begins an upload of a person's.
    pub async fn begin_upload(&self, user_id: Uuid, now: OffsetDateTime) -> Result<Uuid, SandboxError> {
        let upload_id = Uuid::now_v7();
        sqlx::query("insert into uploads (upload_id, user_id, touched_at) values ($1, $2, $3)")
            .bind(upload_id)
            .bind(user_id)
            .bind(now)
            .execute(self.pool())
            .await?;
        Ok(upload_id)
    }

    /// Adds a part to an upload; all uploads of the person have at most `most` bytes.
    pub async fn add_part(
        &self,
        user_id: Uuid,
        upload_id: Uuid,
        number: i32,
        bytes: &[u8],
        most: u64,
        now: OffsetDateTime,
    ) -> Result<(), SandboxError> {
        let mut transaction = self.pool().begin().await?;
        one_at_a_time(&mut transaction, user_id).await?;
        let used: i64 =
            sqlx::query_scalar("select coalesce(sum(size_bytes), 0)::bigint from uploads where user_id = $1")
                .bind(user_id)
                .fetch_one(&mut *transaction)
                .await?;
        if used as u64 + bytes.len() as u64 > most {
            let (unit, used) = ("bytes of uploads", used as u64);
            return Err(SandboxError::QuotaExceeded { unit, limit: most, used });
        }
        let grown = sqlx::query(
            "update uploads set size_bytes = size_bytes + $3, touched_at = $4
             where upload_id = $1 and user_id = $2 and sha256 is null",
        )
        .bind(upload_id)
        .bind(user_id)
        .bind(bytes.len() as i64)
        .bind(now)
        .execute(&mut *transaction)
        .await?;
        if grown.rows_affected() == 0 {
            return Err(SandboxError::NotFound { what: "upload" });
        }
        sqlx::query("insert into upload_parts (upload_id, number, bytes) values ($1, $2, $3)")
            .bind(upload_id)
            .bind(number)
            .bind(bytes)
            .execute(&mut *transaction)
            .await?;
        Ok(transaction.commit().await?)
    }

    /// Names an upload by its content. Where the person has the same content already, that one is kept anew instead.
    pub async fn finish_upload(
        &self,
        user_id: Uuid,
        upload_id: Uuid,
        sha256: &Hash,
        now: OffsetDateTime,
    ) -> Result<(), SandboxError> {
        let mut transaction = self.pool().begin().await?;
        one_at_a_time(&mut transaction, user_id).await?;
        let known = sqlx::query("update uploads set touched_at = $3 where user_id = $1 and sha256 = $2")
            .bind(user_id)
            .bind(&sha256[..])
            .bind(now)
            .execute(&mut *transaction)
            .await?;
        let done = if known.rows_affected() == 0 {
            let sql = "update uploads set sha256 = $3, touched_at = $4 where upload_id = $1 and user_id = $2";
            sqlx::query(sql).bind(upload_id).bind(user_id).bind(&sha256[..]).bind(now)
        } else {
            sqlx::query("delete from uploads where upload_id = $1 and user_id = $2")
                .bind(upload_id)
                .bind(user_id)
        };
        let done = done.execute(&mut *transaction).await?;
        if done.rows_affected() == 0 {
            return Err(SandboxError::NotFound { what: "upload" });
        }
        Ok(transaction.commit().await?)
    }

    /// Forgets an upload that will not be finished.
    pub async fn drop_upload(&self, user_id: Uuid, upload_id: Uuid) -> Result<(), SandboxError> {
        sqlx::query("delete from uploads where upload_id = $1 and user_id = $2 and sha256 is null")
            .bind(upload_id)
            .bind(user_id)
            .execute(self.pool())
            .await?;
        Ok(())
    }

    /// A finished upload of a person's that is still kept.
    pub async fn upload(
        &self,
        user_id: Uuid,
        sha256: &Hash,
        now: OffsetDateTime,
    ) -> Result<Upload, SandboxError> {
        let found: Option<(Uuid, i64)> = sqlx::query_as(
            "select upload_id, size_bytes from uploads
             where user_id = $1 and sha256 = $2 and touched_at > $3",
        )
        .bind(user_id)
        .bind(&sha256[..])
        .bind(now - KEEP)
        .fetch_optional(self.pool())
        .await?;
        let (upload_id, size_bytes) = found.ok_or(SandboxError::NotFound { what: "upload" })?;
        Ok(Upload { upload_id, size_bytes })
    }

    /// A part of a person's upload; none after the last.
    pub async fn upload_part(
        &self,
        user_id: Uuid,
        upload: &Upload,
        number: i32,
    ) -> Result<Option<Vec<u8>>, SandboxError> {
        Ok(sqlx::query_scalar(
            "select bytes from upload_parts join uploads using (upload_id)
             where upload_id = $1 and user_id = $2 and number = $3",
        )
        .bind(upload.upload_id)
        .bind(user_id)
        .bind(number)
        .fetch_optional(self.pool())
        .await?)
    }

    /// A person's upload, whole; for those that fit into memory.
    pub async fn upload_content(&self, user_id: Uuid, upload: &Upload) -> Result<Vec<u8>, SandboxError> {
        let content: Option<Vec<u8>> = sqlx::query_scalar(
            "select string_agg(bytes, ''::bytea order by number) from upload_parts join uploads using (upload_id)
             where upload_id = $1 and user_id = $2",
        )
        .bind(upload.upload_id)
        .bind(user_id)
        .fetch_one(self.pool())
        .await?;
        let whole = content.unwrap_or_default();
        // it may have been swept a moment ago
        let is_whole = whole.len() as i64 == upload.size_bytes;
        is_whole.then_some(whole).ok_or(SandboxError::NotFound { what: "upload" })
    }

    /// Removes uploads that are kept no longer, and those that nobody goes on with.
    pub async fn sweep_uploads(&self, now: OffsetDateTime) -> Result<u64, SandboxError> {
        let swept = sqlx::query(
            "delete from uploads where touched_at <= $1 or (sha256 is null and touched_at <= $2)",
        )
        .bind(now - KEEP)
        .bind(now - KEEP_UNFINISHED)
        .execute(self.pool())
        .await?;
        Ok(swept.rows_affected())
    }
}

/// The parts and ends of a person's uploads come one after the other, so that their sum is known.
async fn one_at_a_time(
    transaction: &mut sqlx::Transaction<'static, sqlx::Postgres>,
    user_id: Uuid,
) -> Result<(), SandboxError> {
    sqlx::query("select pg_advisory_xact_lock(hashtextextended('devstudio.uploads.' || $1, 0))")
        .bind(user_id.to_string())
        .execute(&mut **transaction)
        .await?;
    Ok(())
}
