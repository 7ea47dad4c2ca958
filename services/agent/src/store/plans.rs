//! SQL of plans that set workspaces up.

use sqlx::FromRow;
use time::OffsetDateTime;
use uuid::Uuid;

use super::Store;
use crate::Error;

/// A plan.
#[derive(Debug, Clone, FromRow)]
pub struct PlanRow {
    pub plan_id: Uuid,
    pub user_id: Uuid,
    pub api_key_id: Option<Uuid>,
    pub workspace_id: Uuid,
    pub wish: String,
    pub model: String,
    pub facts: Vec<u8>,
    pub plan: Vec<u8>,
    pub state: String,
    pub snapshot_id: Option<Uuid>,
    pub created_at: OffsetDateTime,
}

impl Store {
    /// Keeps a plan.
    pub async fn add_plan(&self, plan: &PlanRow) -> Result<(), Error> {
        sqlx::query(
            "insert into env_plans (plan_id, user_id, api_key_id, workspace_id, wish, model, facts, plan, created_at)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(plan.plan_id)
        .bind(plan.user_id)
        .bind(plan.api_key_id)
        .bind(plan.workspace_id)
        .bind(&plan.wish)
        .bind(&plan.model)
        .bind(&plan.facts)
        .bind(&plan.plan)
        .bind(plan.created_at)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// A person's plan.
    pub async fn plan(&self, user_id: Uuid, plan_id: Uuid) -> Result<PlanRow, Error> {
        let row = sqlx::query_as(
            "select plan_id, user_id, api_key_id, workspace_id, wish, model, facts, plan, state, snapshot_id, created_at
               from env_plans where plan_id = $1 and user_id = $2",
        )
        .bind(plan_id)
        .bind(user_id)
        .fetch_optional(&self.pool)
        .await?;
        row.ok_or(Error::NotFound("plan"))
    }

    /// Begins to apply a plan, once; again where whoever began is gone.
    pub async fn begin_apply(
        &self,
        user_id: Uuid,
        plan_id: Uuid,
        now: OffsetDateTime,
        until: OffsetDateTime,
    ) -> Result<(), Error> {
        let begun = sqlx::query(
            "update env_plans set state = 'APPLYING', lease_until = $4
              where plan_id = $1 and user_id = $2
                and (state = 'PLANNED' or (state = 'APPLYING' and lease_until < $3))",
        )
        .bind(plan_id)
        .bind(user_id)
        .bind(now)
        .bind(until)
        .execute(&self.pool)
        .await?;
        if begun.rows_affected() == 1 { Ok(()) } else { Err(Error::Applied) }
    }

    /// Writes down where a plan stands, and the snapshot from before where there is one.
    pub async fn set_plan_state(
        &self,
        plan_id: Uuid,
        state: &str,
        snapshot_id: Option<Uuid>,
    ) -> Result<(), Error> {
        sqlx::query(
            "update env_plans set state = $2, snapshot_id = coalesce($3, snapshot_id), lease_until = null
              where plan_id = $1",
        )
        .bind(plan_id)
        .bind(state)
        .bind(snapshot_id)
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}
