//! SQL of the log. `id` is the entries' seq: one batch at a time is inserted, so that readers never see a number
//! after a greater one.

use std::collections::BTreeMap;

use serde_json::Value;
use sqlx::{Postgres, QueryBuilder, types::Json};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{
    Store,
    notices::{Notice, tell},
};
use crate::{Error, log::Filter};

/// Entries that are deleted at a time.
const PRUNED_AT_ONCE: i64 = 10_000;

/// A line of the log. Its `id` is given by the table.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub(crate) struct LogRow {
    pub id: i64,
    pub at: OffsetDateTime,
    pub level: i16,
    pub service: String,
    pub trace_id: String,
    pub user_id: Option<Uuid>,
    pub message: String,
    pub fields: Json<BTreeMap<String, String>>,
}

impl Store {
    /// Appends entries, in their order, and tells every process the last one's number.
    pub async fn append_logs(&self, rows: &[LogRow]) -> Result<(), Error> {
        let mut tx = self.pool.begin().await?;
        sqlx::query("select pg_advisory_xact_lock(hashtextextended('devstudio.auth.logs', 0))")
            .execute(&mut *tx)
            .await?;
        let fields: Result<Vec<Value>, _> =
            rows.iter().map(|row| serde_json::to_value(&row.fields.0)).collect();
        let head: Option<i64> = sqlx::query_scalar(
            "with put as (
               insert into logs (at, level, service, trace_id, user_id, message, fields)
               select at, level, service, trace_id, user_id, message, fields
               from unnest($1::timestamptz[], $2::smallint[], $3::text[], $4::text[], $5::uuid[], $6::text[], $7::jsonb[])
                 with ordinality as t (at, level, service, trace_id, user_id, message, fields, n)
               order by n
               returning id)
             select max(id) from put",
        )
        .bind(rows.iter().map(|row| row.at).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.level).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.service.as_str()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.trace_id.as_str()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.user_id).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.message.as_str()).collect::<Vec<_>>())
        .bind(fields.map_err(|_| Error::Internal("the fields of an entry are no JSON"))?)
        .fetch_one(&mut *tx)
        .await?;
        if let Some(head) = head {
            tell(&mut tx, Notice::Log(head)).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// The number of the newest entry; 0 in an empty log.
    pub async fn log_head(&self) -> Result<i64, Error> {
        let head: Option<i64> = sqlx::query_scalar("select max(id) from logs").fetch_one(&self.pool).await?;
        Ok(head.unwrap_or(0))
    }

    /// Entries after a number, oldest first.
    pub async fn logs_after(&self, filter: &Filter, after: i64, limit: i64) -> Result<Vec<LogRow>, Error> {
        let mut query = QueryBuilder::new("select * from logs where id > ");
        query.push_bind(after);
        narrow(&mut query, filter);
        query.push(" order by id limit ").push_bind(limit);
        Ok(query.build_query_as().fetch_all(&self.pool).await?)
    }

    /// Entries before a number, newest first.
    pub async fn logs_before(&self, filter: &Filter, before: i64, limit: i64) -> Result<Vec<LogRow>, Error> {
        let mut query = QueryBuilder::new("select * from logs where id < ");
        query.push_bind(before);
        narrow(&mut query, filter);
        query.push(" order by id desc limit ").push_bind(limit);
        Ok(query.build_query_as().fetch_all(&self.pool).await?)
    }

    /// After which number the newest `count` entries begin.
    pub async fn log_backlog(&self, filter: &Filter, head: i64, count: i64) -> Result<i64, Error> {
        let mut query = QueryBuilder::new("select min(id) from (select id from logs where id <= ");
        query.push_bind(head);
        narrow(&mut query, filter);
        query.push(" order by id desc limit ").push_bind(count).push(") newest");
        let first: Option<i64> = query.build_query_scalar().fetch_one(&self.pool).await?;
        Ok(first.map_or(head, |first| first - 1))
    }

    /// How many entries lie between two numbers, both left out.
    pub async fn count_logs(&self, filter: &Filter, after: i64, before: i64) -> Result<i64, Error> {
        let mut query = QueryBuilder::new("select count(*) from logs where id > ");
        query.push_bind(after).push(" and id < ").push_bind(before);
        narrow(&mut query, filter);
        Ok(query.build_query_scalar().fetch_one(&self.pool).await?)
    }

    /// Deletes what is older than `keep_days` and what is more than `keep_entries`.
    pub async fn prune_logs(
        &self,
        at: OffsetDateTime,
        keep_days: u16,
        keep_entries: u32,
    ) -> Result<(), Error> {
        let oldest = at - Duration::days(i64::from(keep_days));
        loop {
            let done = sqlx::query(
                "delete from logs where id in (select id from logs where at < $1 order by at limit $2)",
            )
            .bind(oldest)
            .bind(PRUNED_AT_ONCE)
            .execute(&self.pool)
            .await?;
            if done.rows_affected() < PRUNED_AT_ONCE as u64 {
                break;
            }
        }
        let last = self.log_head().await? - i64::from(keep_entries);
        loop {
            let done = sqlx::query(
                "delete from logs where id in (select id from logs where id <= $1 order by id limit $2)",
            )
            .bind(last)
            .bind(PRUNED_AT_ONCE)
            .execute(&self.pool)
            .await?;
            if done.rows_affected() < PRUNED_AT_ONCE as u64 {
                return Ok(());
            }
        }
    }
}

/// The filter as SQL; [`Filter::admits`] says the same of an entry at hand.
fn narrow(query: &mut QueryBuilder<Postgres>, filter: &Filter) {
    if filter.min_level > 0 {
        query.push(" and level >= ").push_bind(filter.min_level);
    }
    if !filter.services.is_empty() {
        query.push(" and service = any(").push_bind(filter.services.clone()).push(")");
    }
    if let Some(user) = filter.user_id {
        query.push(" and user_id = ").push_bind(user);
    }
    if !filter.trace_id.is_empty() {
        query.push(" and trace_id = ").push_bind(filter.trace_id.clone());
    }
    if !filter.text.is_empty() {
        query.push(" and position(lower(").push_bind(filter.text.clone()).push(") in lower(message)) > 0");
    }
}
