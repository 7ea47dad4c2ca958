//! SQL of chains' runs.

use sqlx::FromRow;
use time::OffsetDateTime;
use uuid::Uuid;

use super::Store;
use crate::Error;

/// A run.
#[derive(Debug, Clone, FromRow)]
pub struct ChainRow {
    pub run_id: Uuid,
    pub user_id: Uuid,
    pub api_key_id: Option<Uuid>,
    pub workspace_id: Uuid,
    pub spec: Vec<u8>,
    pub input: String,
    pub state: String,
    pub error: String,
    pub result: Option<Vec<u8>>,
    pub tokens: i64,
    pub created_at: OffsetDateTime,
    pub ended_at: Option<OffsetDateTime>,
}

/// What a stage gave.
#[derive(Debug, Clone, FromRow)]
pub struct ChainFrameRow {
    pub path: String,
    pub seq: i64,
    pub payload: String,
    pub tokens: i32,
}

impl Store {
    /// Writes down that a run begins, where fewer than `most` of the person's go on.
    pub async fn begin_chain(
        &self,
        run: &ChainRow,
        lease_until: OffsetDateTime,
        most: i64,
    ) -> Result<(), Error> {
        self.make_room(run.user_id).await?;
        self.fewer_chains(run.user_id, run.created_at, most).await?;
        sqlx::query(
            "insert into chain_runs (run_id, user_id, api_key_id, workspace_id, spec, input, created_at, lease_until,
                                     kept_bytes)
             values ($1, $2, $3, $4, $5, $6, $7, $8, octet_length($5) + octet_length($6))",
        )
        .bind(run.run_id)
        .bind(run.user_id)
        .bind(run.api_key_id)
        .bind(run.workspace_id)
        .bind(&run.spec)
        .bind(&run.input)
        .bind(run.created_at)
        .bind(lease_until)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Refuses one run more where `most` of a person's go on.
    async fn fewer_chains(&self, user_id: Uuid, now: OffsetDateTime, most: i64) -> Result<(), Error> {
        let go_on: i64 = sqlx::query_scalar(
            "select count(*) from chain_runs where user_id = $1 and state = 'RUNNING' and lease_until > $2",
        )
        .bind(user_id)
        .bind(now)
        .fetch_one(&self.pool)
        .await?;
        if go_on >= most { Err(Error::ChainsFull(go_on)) } else { Ok(()) }
    }

    /// Keeps a run for this process.
    pub async fn renew_chain(&self, run_id: Uuid, lease_until: OffsetDateTime) -> Result<(), Error> {
        sqlx::query("update chain_runs set lease_until = $2 where run_id = $1 and state = 'RUNNING'")
            .bind(run_id)
            .bind(lease_until)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Takes up a person's run that failed, was cancelled, or whose process is gone, where fewer than `most` go on.
    pub async fn take_up_chain(
        &self,
        user_id: Uuid,
        run_id: Uuid,
        now: OffsetDateTime,
        lease_until: OffsetDateTime,
        most: i64,
    ) -> Result<ChainRow, Error> {
        self.fewer_chains(user_id, now, most).await?;
        let taken = sqlx::query_as(
            "update chain_runs set state = 'RUNNING', error = '', ended_at = null, lease_until = $4
              where run_id = $1 and user_id = $2
                and (state in ('FAILED', 'CANCELLED') or (state = 'RUNNING' and lease_until < $3))
             returning run_id, user_id, api_key_id, workspace_id, spec, input, state, error, result, tokens, created_at,
                       ended_at",
        )
        .bind(run_id)
        .bind(user_id)
        .bind(now)
        .bind(lease_until)
        .fetch_optional(&self.pool)
        .await?;
        match taken {
            Some(row) => Ok(row),
            None => {
                self.chain(user_id, run_id).await?;
                Err(Error::State("the run has come to its end, or goes on"))
            }
        }
    }

    /// Writes down how a run ended.
    pub async fn end_chain(
        &self,
        run_id: Uuid,
        state: &str,
        error: &str,
        result: Option<Vec<u8>>,
        tokens: i64,
        now: OffsetDateTime,
    ) -> Result<(), Error> {
        sqlx::query(
            "update chain_runs set state = $2, error = $3, result = $4, tokens = $5, ended_at = $6, lease_until = null,
                    kept_bytes = kept_bytes + coalesce(octet_length($4), 0)
              where run_id = $1 and state = 'RUNNING'",
        )
        .bind(run_id)
        .bind(state)
        .bind(error.replace('\0', ""))
        .bind(result)
        .bind(tokens)
        .bind(now)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// A person's run.
    pub async fn chain(&self, user_id: Uuid, run_id: Uuid) -> Result<ChainRow, Error> {
        let row = sqlx::query_as(
            "select run_id, user_id, api_key_id, workspace_id, spec, input, state, error, result, tokens, created_at,
                    ended_at
               from chain_runs where run_id = $1 and user_id = $2",
        )
        .bind(run_id)
        .bind(user_id)
        .fetch_optional(&self.pool)
        .await?;
        row.ok_or(Error::NotFound("run"))
    }

    /// Keeps what a stage gave.
    pub async fn keep_chain_frame(
        &self,
        run_id: Uuid,
        path: &str,
        seq: u64,
        text: &str,
        tokens: u64,
        now: OffsetDateTime,
    ) -> Result<(), Error> {
        sqlx::query(
            "with kept as (
               insert into chain_frames (run_id, path, seq, payload, tokens, created_at) values ($1, $2, $3, $4, $5, $6)
               on conflict on constraint chain_frames_pkey do nothing returning octet_length(payload) as bytes)
             update chain_runs set kept_bytes = kept_bytes + kept.bytes from kept where run_id = $1",
        )
        .bind(run_id)
        .bind(path)
        .bind(i64::try_from(seq).unwrap_or(i64::MAX))
        .bind(text.replace('\0', ""))
        .bind(i32::try_from(tokens).unwrap_or(i32::MAX))
        .bind(now)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// What the stages of a run gave that have ended, in their order.
    pub async fn chain_frames(&self, run_id: Uuid) -> Result<Vec<ChainFrameRow>, Error> {
        let rows = sqlx::query_as(
            "select path, seq, payload, tokens from chain_frames where run_id = $1 order by created_at, seq",
        );
        Ok(rows.bind(run_id).fetch_all(&self.pool).await?)
    }
}
