//! SQL that lets go of what is old: ended tasks, runs of chains, plans. What was paid stays in the ledger.

use time::OffsetDateTime;
use uuid::Uuid;

use super::Store;
use crate::Error;

/// Of each person's ended tasks, and of their plans, the newest so many are kept.
const MOST_TASKS: i64 = 1_000;
const MOST_PLANS: i64 = 200;
/// Of each person's runs of chains, the newest are kept that have so many bytes in all.
const MOST_CHAIN_BYTES: i64 = 256 * 1024 * 1024;
/// So many rows are deleted at once.
const AT_ONCE: i64 = 500;

impl Store {
    /// Deletes what ended before `oldest`, and tasks and plans that are too many; tells how many rows.
    pub async fn sweep(&self, oldest: OffsetDateTime) -> Result<u64, Error> {
        let mut swept = 0;
        for (sql, most) in [
            (
                "delete from tasks where task_id in (
                   select task_id from (
                     select task_id, ended_at, row_number() over (partition by user_id order by ended_at desc) as place
                       from tasks where ended_at is not null) ended
                    where ended_at < $1 or place > $2 limit $3)",
                MOST_TASKS,
            ),
            (
                "delete from env_plans where plan_id in (
                   select plan_id from (
                     select plan_id, created_at, row_number() over (partition by user_id order by created_at desc) as place
                       from env_plans where state <> 'APPLYING' or lease_until < $1) known
                    where created_at < $1 or place > $2 limit $3)
                  and (state <> 'APPLYING' or lease_until < $1)",
                MOST_PLANS,
            ),
            (
                // A run whose process died has no end; it can be taken up until it is that old.
                "delete from chain_runs where run_id in (
                   select run_id from chain_runs
                    where coalesce(ended_at, lease_until, created_at) < $1 and $2 > 0 limit $3)
                  and coalesce(ended_at, lease_until, created_at) < $1",
                MOST_CHAIN_BYTES,
            ),
        ] {
            loop {
                let done =
                    sqlx::query(sql).bind(oldest).bind(most).bind(AT_ONCE).execute(&self.pool).await?;
                swept += done.rows_affected();
                if done.rows_affected() < AT_ONCE as u64 {
                    break;
                }
            }
        }
        Ok(swept)
    }

    /// Makes room for a person's next run of a chain: the oldest that do not go on are deleted.
    pub(super) async fn make_room(&self, user_id: Uuid) -> Result<(), Error> {
        sqlx::query(
            "delete from chain_runs where run_id in (
               select run_id from (
                 select run_id, state, sum(kept_bytes) over (order by created_at desc, run_id desc) as upto
                   from chain_runs where user_id = $1) known
                where upto > $2 and state <> 'RUNNING')
               and state <> 'RUNNING'",
        )
        .bind(user_id)
        .bind(MOST_CHAIN_BYTES)
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}
