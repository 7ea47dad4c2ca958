//! The SQL of a reservation's life: reserve, extend, settle, sweep, each a call of its function in the database.

use std::collections::HashMap;

use devstudio_kit::clock::timestamp;
use devstudio_proto::billing::v1::UsageRow;
use sqlx::FromRow;
use time::{Date, OffsetDateTime};
use uuid::Uuid;

use super::{Store, kind_of, kind_word, scope_of, small, status_of, status_word};
use crate::{
    error::Refusal,
    extend::{Block, Outcome},
    period::Period,
    reserve::{Denial, Order},
    settle::{Actual, Settled},
};

#[derive(FromRow)]
struct DenialRow {
    request_id: Uuid,
    outcome: String,
    scope: Option<String>,
    monthly_limit: Option<i64>,
    granted: Option<i64>,
    used: Option<i64>,
    reserved: Option<i64>,
}

#[derive(FromRow)]
struct OutcomeRow {
    #[sqlx(flatten)]
    denial: DenialRow,
    held: i64,
    period_start: Date,
}

#[derive(FromRow)]
struct SettledRow {
    outcome: String,
    reserved: i64,
    request_id: Uuid,
    user_id: Uuid,
    api_key_id: Option<Uuid>,
    model_id: String,
    kind: String,
    prompt_tokens: i64,
    completion_tokens: i64,
    cached_tokens: i64,
    status: String,
    ttft_ms: i64,
    total_ms: i64,
    created_at: OffsetDateTime,
    task_id: Option<Uuid>,
    agent_id: Option<String>,
}

impl DenialRow {
    fn refusal(self, asked: i64, period: Period, at: OffsetDateTime) -> Refusal {
        Refusal {
            scope: scope_of(self.scope.as_deref().unwrap_or_default()),
            monthly_limit: self.monthly_limit.unwrap_or_default(),
            granted: self.granted.unwrap_or_default(),
            used: self.used.unwrap_or_default(),
            reserved: self.reserved.unwrap_or_default(),
            asked,
            period,
            at,
        }
    }
}

impl From<SettledRow> for Settled {
    fn from(row: SettledRow) -> Self {
        Self {
            reserved: row.reserved,
            won: row.outcome == "won",
            row: UsageRow {
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
            },
        }
    }
}

impl Store {
    /// Reserves; tells which orders were denied.
    pub async fn reserve(
        &self,
        orders: &[Order],
        now: OffsetDateTime,
        lease_until: OffsetDateTime,
        period: Period,
        default_limit: Option<i64>,
    ) -> Result<HashMap<Uuid, Denial>, sqlx::Error> {
        let rows: Vec<DenialRow> = sqlx::query_as(
            "select request_id, outcome, scope, monthly_limit, granted, used, reserved
               from billing_reserve($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        )
        .bind(now)
        .bind(lease_until)
        .bind(period.start())
        .bind(default_limit)
        .bind(column(orders, |order| order.request_id))
        .bind(column(orders, |order| order.user_id))
        .bind(column(orders, |order| order.key_id))
        .bind(column(orders, |order| order.model_id.clone()))
        .bind(column(orders, |order| kind_word(order.kind)))
        .bind(column(orders, |order| order.prompt_tokens))
        .bind(column(orders, |order| order.completion_tokens))
        .bind(column(orders, |order| order.settings.clone()))
        .bind(column(orders, |order| order.task.as_ref().map(|task| task.id)))
        .bind(column(orders, |order| order.task.as_ref().map(|task| task.agent_id.clone())))
        .fetch_all(&self.pool)
        .await?;
        let asked: HashMap<Uuid, i64> =
            orders.iter().map(|o| (o.request_id, o.prompt_tokens + o.completion_tokens)).collect();
        let denial = |id: Uuid, row: DenialRow| match row.outcome.as_str() {
            "exists" => Denial::Exists,
            _ => Denial::Refused(row.refusal(asked.get(&id).copied().unwrap_or_default(), period, now)),
        };
        Ok(rows.into_iter().map(|row| (row.request_id, denial(row.request_id, row))).collect())
    }

    /// Extends; tells what became of the blocks of all reservations that there are.
    pub async fn extend(
        &self,
        blocks: &[Block],
        now: OffsetDateTime,
        lease_until: OffsetDateTime,
        default_limit: Option<i64>,
    ) -> Result<HashMap<Uuid, Outcome>, sqlx::Error> {
        let rows: Vec<OutcomeRow> = sqlx::query_as(
            "select request_id, outcome, held, period_start, scope, monthly_limit, granted, used, reserved
               from billing_extend($1, $2, $3, $4, $5)",
        )
        .bind(lease_until)
        .bind(default_limit)
        .bind(column(blocks, |block| block.request_id))
        .bind(column(blocks, |block| block.tokens))
        .bind(column(blocks, |block| block.produced_tokens))
        .fetch_all(&self.pool)
        .await?;
        let asked: HashMap<Uuid, i64> = blocks.iter().map(|b| (b.request_id, b.tokens)).collect();
        let outcome = |id: Uuid, row: OutcomeRow| match row.denial.outcome.as_str() {
            "open" => Outcome::Open(row.held),
            "settled" => Outcome::Settled,
            _ => {
                let asked = asked.get(&id).copied().unwrap_or_default();
                Outcome::Refused(row.denial.refusal(asked, Period::starting(row.period_start), now))
            }
        };
        Ok(rows.into_iter().map(|row| (row.denial.request_id, outcome(row.denial.request_id, row))).collect())
    }

    /// Settles; tells the rows that stand, of all reservations that there are.
    pub async fn settle(
        &self,
        actuals: &[Actual],
        now: OffsetDateTime,
    ) -> Result<HashMap<Uuid, Settled>, sqlx::Error> {
        let rows: Vec<SettledRow> =
            sqlx::query_as("select * from billing_settle($1, $2, $3, $4, $5, $6, $7, $8, $9)")
                .bind(now)
                .bind(column(actuals, |actual| actual.request_id))
                .bind(column(actuals, |actual| actual.prompt_tokens))
                .bind(column(actuals, |actual| actual.completion_tokens))
                .bind(column(actuals, |actual| actual.cached_tokens))
                .bind(column(actuals, |actual| status_word(actual.status)))
                .bind(column(actuals, |actual| actual.ttft_ms))
                .bind(column(actuals, |actual| actual.total_ms))
                .bind(column(actuals, |actual| actual.error_reason.clone()))
                .fetch_all(&self.pool)
                .await?;
        Ok(rows.into_iter().map(|row| (row.request_id, row.into())).collect())
    }

    /// Settles up to `most` reservations whose lease ended before a time.
    pub async fn sweep(
        &self,
        now: OffsetDateTime,
        before: OffsetDateTime,
        most: i32,
    ) -> Result<Vec<Settled>, sqlx::Error> {
        let rows: Vec<SettledRow> = sqlx::query_as("select * from billing_sweep($1, $2, $3)")
            .bind(now)
            .bind(before)
            .bind(most)
            .fetch_all(&self.pool)
            .await?;
        Ok(rows.into_iter().map(Settled::from).collect())
    }

    /// Makes missing partitions; tells how many.
    pub async fn make_partitions(&self, from: Period, months: i32) -> Result<i32, sqlx::Error> {
        sqlx::query_scalar("select billing_make_partitions($1, $2)")
            .bind(from.start())
            .bind(months)
            .fetch_one(&self.pool)
            .await
    }
}

/// One field of all orders, as the database's functions take them.
fn column<O, T>(orders: &[O], field: impl Fn(&O) -> T) -> Vec<T> {
    orders.iter().map(field).collect()
}
