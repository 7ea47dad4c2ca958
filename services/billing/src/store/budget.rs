//! The SQL of budgets: what is left, limits, grants.

use devstudio_proto::billing::v1::{Budget, Scope};
use sqlx::FromRow;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Store, scope_word};
use crate::{budget::MOST_TOKENS, period::Period};

#[derive(FromRow)]
struct BudgetRow {
    monthly_limit: Option<i64>,
    granted: i64,
    used: i64,
    reserved: i64,
    remaining: Option<i64>,
}

impl Store {
    /// A budget in a month.
    pub async fn budget(
        &self,
        scope: Scope,
        subject: Uuid,
        period: Period,
        default_limit: Option<i64>,
    ) -> Result<Budget, sqlx::Error> {
        let row: BudgetRow = sqlx::query_as("select * from billing_budget($1, $2, $3, $4)")
            .bind(scope_word(scope))
            .bind(subject)
            .bind(period.start())
            .bind(default_limit)
            .fetch_one(&self.pool)
            .await?;
        Ok(Budget {
            scope: scope.into(),
            subject_id: subject.to_string(),
            monthly_limit: row.monthly_limit,
            granted: row.granted,
            used: row.used,
            reserved: row.reserved,
            remaining: row.remaining,
            resets_at: None,
        })
    }

    /// Sets a limit.
    pub async fn set_limit(
        &self,
        scope: Scope,
        subject: Uuid,
        limit: Option<i64>,
    ) -> Result<(), sqlx::Error> {
        sqlx::query(
            "insert into budgets (scope, subject_id, monthly_limit) values ($1, $2, $3)
             on conflict on constraint budgets_pk do update set monthly_limit = excluded.monthly_limit",
        )
        .bind(scope_word(scope))
        .bind(subject)
        .bind(limit)
        .execute(&self.pool)
        .await
        .map(drop)
    }

    /// Grants tokens and enters them in the ledger as `id`; false where the sum of grants would leave its bounds.
    pub async fn grant(
        &self,
        id: Uuid,
        person: Uuid,
        tokens: i64,
        now: OffsetDateTime,
        period: Period,
    ) -> Result<bool, sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        sqlx::query(
            "insert into token_balances (scope, subject_id, period_start) values ('user', $1, $2)
             on conflict on constraint token_balances_pk do nothing",
        )
        .bind(person)
        .bind(period.start())
        .execute(&mut *transaction)
        .await?;
        let granted = sqlx::query(
            "update token_balances set granted = granted + $3
              where scope = 'user' and subject_id = $1 and period_start = $2
                and granted + $3 between 0 and $4",
        )
        .bind(person)
        .bind(period.start())
        .bind(tokens)
        .bind(MOST_TOKENS)
        .execute(&mut *transaction)
        .await?;
        if granted.rows_affected() == 0 {
            return Ok(false);
        }
        sqlx::query(
            "insert into ledger_entries (request_id, kind, account, subject, amount, period_start, created_at)
             values ($1, 'grant', 'house', 'house', -$3, $4, $5), ($1, 'grant', 'user', $2::text, $3, $4, $5)",
        )
        .bind(id)
        .bind(person.to_string())
        .bind(tokens)
        .bind(period.start())
        .bind(now)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(true)
    }
}
