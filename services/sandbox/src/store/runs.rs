//! SQL of runs.

use std::collections::BTreeMap;

use sqlx::{Row as _, postgres::PgRow, types::Json};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Hash, Store};
use crate::{engine::Facts, error::SandboxError};

/// A run as it starts.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// Its id.
    pub exec_id: Uuid,
    /// Whose it is.
    pub user_id: Uuid,
    /// The workspace that it sees.
    pub workspace_id: Option<Uuid>,
    /// Which service runs it.
    pub instance: String,
    /// The engine.
    pub engine: String,
    /// The runtime.
    pub runtime: String,
    /// What is run, in a line.
    pub title: String,
    /// What was asked for.
    pub request: serde_json::Value,
    /// The module, for the engine wasm.
    pub module_sha256: Option<Hash>,
    /// The isolation it has.
    pub isolation: String,
    /// When it starts.
    pub started_at: OffsetDateTime,
}

/// What is known when it has ended.
#[derive(Debug, Clone, Default)]
pub struct EndedRun {
    /// How it ended.
    pub status: String,
    /// Its exit code.
    pub exit_code: i32,
    /// The signal that ended it.
    pub signal: i32,
    /// From start to end.
    pub wall_ms: i64,
    /// Processor time.
    pub cpu_ms: i64,
    /// Most memory.
    pub max_rss_bytes: i64,
    /// Output was left out.
    pub truncated: bool,
    /// In words.
    pub message: String,
    /// Its output.
    pub stdout: Vec<u8>,
    /// Its error output.
    pub stderr: Vec<u8>,
    /// Layers and limits.
    pub facts: Facts,
    /// What it changed.
    pub changed_paths: Vec<String>,
    /// What it wrote in vain.
    pub rejected_paths: BTreeMap<String, String>,
}

/// A stored run.
#[derive(Debug, Clone)]
pub struct StoredRun {
    /// Its id.
    pub exec_id: Uuid,
    /// The engine.
    pub engine: String,
    /// The runtime.
    pub runtime: String,
    /// What was run, in a line.
    pub title: String,
    /// What was asked for.
    pub request: serde_json::Value,
    /// The isolation it had.
    pub isolation: String,
    /// When it started.
    pub started_at: OffsetDateTime,
    /// How it ended; nothing while it runs.
    pub ended: Option<EndedRun>,
}

fn stored(row: &PgRow) -> Result<StoredRun, sqlx::Error> {
    let status: Option<String> = row.try_get("status")?;
    let ended = status.map(|status| {
        Ok::<_, sqlx::Error>(EndedRun {
            status,
            exit_code: row.try_get("exit_code")?,
            signal: row.try_get("signal")?,
            wall_ms: row.try_get("wall_ms")?,
            cpu_ms: row.try_get("cpu_ms")?,
            max_rss_bytes: row.try_get("max_rss_bytes")?,
            truncated: row.try_get("truncated")?,
            message: row.try_get("message")?,
            stdout: row.try_get("stdout")?,
            stderr: row.try_get("stderr")?,
            facts: row.try_get::<Json<Facts>, _>("facts")?.0,
            changed_paths: row.try_get("changed_paths")?,
            rejected_paths: row.try_get::<Json<BTreeMap<String, String>>, _>("rejected_paths")?.0,
        })
    });
    Ok(StoredRun {
        exec_id: row.try_get("exec_id")?,
        engine: row.try_get("engine")?,
        runtime: row.try_get("runtime")?,
        title: row.try_get("title")?,
        request: row.try_get("request")?,
        isolation: row.try_get("isolation")?,
        started_at: row.try_get("started_at")?,
        ended: ended.transpose()?,
    })
}

impl Store {
    /// Writes down that a run starts.
    pub async fn begin_run(&self, run: &NewRun) -> Result<(), SandboxError> {
        sqlx::query(
            "insert into exec_runs (exec_id, user_id, workspace_id, instance, engine, runtime, title, request,
                                    module_sha256, isolation, started_at)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        )
        .bind(run.exec_id)
        .bind(run.user_id)
        .bind(run.workspace_id)
        .bind(&run.instance)
        .bind(&run.engine)
        .bind(&run.runtime)
        .bind(&run.title)
        .bind(&run.request)
        .bind(run.module_sha256.as_ref().map(|hash| &hash[..]))
        .bind(&run.isolation)
        .bind(run.started_at)
        .execute(self.pool())
        .await
        .map_err(|error| match error.as_database_error().and_then(|error| error.constraint()) {
            Some("exec_runs_pkey") => SandboxError::AlreadyExists { what: "the run".to_owned() },
            _ => error.into(),
        })?;
        Ok(())
    }

    /// Writes down how a run ended.
    pub async fn end_run(
        &self,
        exec_id: Uuid,
        run: &EndedRun,
        now: OffsetDateTime,
    ) -> Result<(), SandboxError> {
        sqlx::query(
            "update exec_runs set status = $2, exit_code = $3, signal = $4, wall_ms = $5, cpu_ms = $6,
                    max_rss_bytes = $7, truncated = $8, message = $9, stdout = $10, stderr = $11, facts = $12,
                    changed_paths = $13, rejected_paths = $14, ended_at = $15
             where exec_id = $1 and status is null",
        )
        .bind(exec_id)
        .bind(&run.status)
        .bind(run.exit_code)
        .bind(run.signal)
        .bind(run.wall_ms)
        .bind(run.cpu_ms)
        .bind(run.max_rss_bytes)
        .bind(run.truncated)
        .bind(&run.message)
        .bind(&run.stdout)
        .bind(&run.stderr)
        .bind(Json(&run.facts))
        .bind(&run.changed_paths)
        .bind(Json(&run.rejected_paths))
        .bind(now)
        .execute(self.pool())
        .await?;
        Ok(())
    }

    /// A person's run.
    pub async fn run(&self, user_id: Uuid, exec_id: Uuid) -> Result<StoredRun, SandboxError> {
        let row = sqlx::query("select * from exec_runs where exec_id = $1 and user_id = $2")
            .bind(exec_id)
            .bind(user_id)
            .fetch_optional(self.pool())
            .await?;
        row.as_ref().map(stored).transpose()?.ok_or(SandboxError::NotFound { what: "run" })
    }

    /// A person's runs without what was asked for and without their output, newest first, those after `after`.
    pub async fn runs(
        &self,
        user_id: Uuid,
        after: Option<(OffsetDateTime, Uuid)>,
        most: i64,
    ) -> Result<Vec<StoredRun>, SandboxError> {
        let (at, id) = after.unzip();
        let rows = sqlx::query(
            "select exec_id, engine, runtime, title, 'null'::jsonb as request, isolation, started_at, status,
                    exit_code, signal,
                    wall_ms, cpu_ms, max_rss_bytes, truncated, message, ''::bytea as stdout, ''::bytea as stderr,
                    facts, changed_paths, rejected_paths
             from exec_runs
             where user_id = $1 and ($2::timestamptz is null or (started_at, exec_id) < ($2, $3))
             order by started_at desc, exec_id desc limit $4",
        )
        .bind(user_id)
        .bind(at)
        .bind(id)
        .bind(most)
        .fetch_all(self.pool())
        .await?;
        Ok(rows.iter().map(stored).collect::<Result<_, _>>()?)
    }

    /// A module that a person ran before.
    pub async fn module(&self, user_id: Uuid, sha256: &Hash) -> Result<Vec<u8>, SandboxError> {
        sqlx::query_scalar(
            "select bytes from blobs where sha256 = $1
               and exists (select 1 from exec_runs where module_sha256 = $1 and user_id = $2)",
        )
        .bind(&sha256[..])
        .bind(user_id)
        .fetch_optional(self.pool())
        .await?
        .ok_or(SandboxError::NotFound { what: "module" })
    }

    /// Ends what a service of this instance left open when it was killed before `boot`, and forgets runs that are too
    /// old.
    pub async fn sweep_runs(
        &self,
        instance: &str,
        boot: OffsetDateTime,
        now: OffsetDateTime,
        keep: time::Duration,
    ) -> Result<u64, SandboxError> {
        let ended = sqlx::query(
            "update exec_runs set status = 'FAILED', message = 'the sandbox was stopped while it ran', ended_at = $2
             where instance = $1 and status is null and started_at < $3",
        )
        .bind(instance)
        .bind(now)
        .bind(boot)
        .execute(self.pool())
        .await?;
        sqlx::query("delete from exec_runs where started_at < $1")
            .bind(now - keep)
            .execute(self.pool())
            .await?;
        Ok(ended.rows_affected())
    }
}
