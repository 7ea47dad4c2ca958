//! The SQL of usage: sums and pages of rows.

use devstudio_kit::clock::timestamp;
use devstudio_proto::billing::v1::{GroupBy, UsageRow, UsageSum};
use sqlx::FromRow;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Store, kind_of, small, status_of};
use crate::usage::{Cursor, Query};

/// Most groups of an answer, so that it fits a message.
const MOST_GROUPS: i64 = 10_000;

#[derive(FromRow)]
struct SumRow {
    is_total: bool,
    name: Option<String>,
    requests: i64,
    prompt_tokens: i64,
    completion_tokens: i64,
    cached_tokens: i64,
    total_ms: i64,
}

impl From<SumRow> for UsageSum {
    fn from(row: SumRow) -> Self {
        Self {
            group: row.name.unwrap_or_default(),
            requests: row.requests,
            prompt_tokens: row.prompt_tokens,
            completion_tokens: row.completion_tokens,
            cached_tokens: row.cached_tokens,
            total_ms: row.total_ms,
        }
    }
}

#[derive(FromRow)]
struct Row {
    id: i64,
    request_id: Uuid,
    user_id: Uuid,
    api_key_id: Option<Uuid>,
    model_id: String,
    prompt_tokens: i64,
    completion_tokens: i64,
    cached_tokens: i64,
    kind: String,
    status: String,
    created_at: OffsetDateTime,
    ttft_ms: i64,
    total_ms: i64,
    task_id: Option<Uuid>,
    agent_id: Option<String>,
}

impl From<Row> for (Cursor, UsageRow) {
    fn from(row: Row) -> Self {
        let cursor = Cursor { at: row.created_at, id: row.id };
        let row = UsageRow {
            request_id: row.request_id.to_string(),
            user_id: row.user_id.to_string(),
            key_id: row.api_key_id.map(|id| id.to_string()),
            model_id: row.model_id,
            kind: kind_of(&row.kind).into(),
            prompt_tokens: small(row.prompt_tokens),
            completion_tokens: small(row.completion_tokens),
            cached_tokens: small(row.cached_tokens),
            status: status_of(&row.status).into(),
            created_at: Some(timestamp(row.created_at)),
            ttft_ms: small(row.ttft_ms),
            total_ms: small(row.total_ms),
            task_id: row.task_id.map(|id| id.to_string()),
            agent_id: row.agent_id,
        };
        (cursor, row)
    }
}

impl Store {
    /// The sum of everything, and the sums by group: days in order, others largest first.
    pub async fn sums(&self, query: &Query) -> Result<(UsageSum, Vec<UsageSum>), sqlx::Error> {
        let by = match query.group_by {
            GroupBy::Unspecified => None,
            GroupBy::Day => Some("day"),
            GroupBy::Model => Some("model"),
            GroupBy::User => Some("user"),
            GroupBy::Key => Some("key"),
            GroupBy::Agent => Some("agent"),
            GroupBy::Task => Some("task"),
        };
        let rows: Vec<SumRow> = sqlx::query_as(
            "select grouping(name) = 1 as is_total, name, count(*) as requests,
                    coalesce(sum(prompt_tokens), 0)::bigint as prompt_tokens,
                    coalesce(sum(completion_tokens), 0)::bigint as completion_tokens,
                    coalesce(sum(cached_tokens), 0)::bigint as cached_tokens,
                    coalesce(sum(total_ms), 0)::bigint as total_ms
               from (
                 select case $4 when 'day' then to_char(created_at at time zone 'UTC', 'YYYY-MM-DD')
                                when 'model' then model_id
                                when 'user' then user_id::text
                                when 'key' then coalesce(api_key_id::text, '')
                                when 'agent' then coalesce(agent_id, '')
                                when 'task' then coalesce(task_id::text, '') end as name,
                        prompt_tokens, completion_tokens, cached_tokens, total_ms
                   from token_usage
                  where created_at >= $1 and ($2::timestamptz is null or created_at < $2)
                    and ($3::uuid is null or user_id = $3)
               ) u
              group by grouping sets ((), (name))
              order by is_total desc, case when $4 = 'day' then name end,
                       coalesce(sum(prompt_tokens + completion_tokens), 0) desc, name
              limit $5",
        )
        .bind(query.from)
        .bind(query.to)
        .bind(query.user_id)
        .bind(by)
        .bind(MOST_GROUPS + 1)
        .fetch_all(&self.pool)
        .await?;
        let (total, groups): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.is_total);
        let total = total.into_iter().next().map(UsageSum::from).unwrap_or_default();
        let groups = if by.is_some() { groups.into_iter().map(UsageSum::from).collect() } else { Vec::new() };
        Ok((total, groups))
    }

    /// Rows after a cursor, newest first.
    pub async fn rows(
        &self,
        user_id: Option<Uuid>,
        after: Option<Cursor>,
        most: i32,
    ) -> Result<Vec<(Cursor, UsageRow)>, sqlx::Error> {
        let (at, id) = after.map(|cursor| (cursor.at, cursor.id)).unzip();
        let rows: Vec<Row> = sqlx::query_as(
            "select id, request_id, user_id, api_key_id, model_id, prompt_tokens, completion_tokens, cached_tokens,
                    kind, status, created_at, ttft_ms, total_ms, task_id, agent_id
               from token_usage
              where ($1::uuid is null or user_id = $1)
                and ($2::timestamptz is null or (created_at, id) < ($2, $3::bigint))
              order by created_at desc, id desc
              limit $4",
        )
        .bind(user_id)
        .bind(at)
        .bind(id)
        .bind(most)
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(Row::into).collect())
    }
}
