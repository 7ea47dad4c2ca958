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
    /// The template that it follows, and its version.
    pub template_id: Option<Uuid>,
    pub template_version: Option<i32>,
    pub created_at: OffsetDateTime,
}

impl Store {
    /// Keeps a plan.
    pub async fn add_plan(&self, plan: &PlanRow) -> Result<(), Error> {
        sqlx::query(
            "insert into env_plans (plan_id, user_id, api_key_id, workspace_id, wish, model, facts, plan, template_id,
                template_version, created_at)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        )
        .bind(plan.plan_id)
        .bind(plan.user_id)
        .bind(plan.api_key_id)
        .bind(plan.workspace_id)
        .bind(&plan.wish)
        .bind(&plan.model)
        .bind(&plan.facts)
        .bind(&plan.plan)
        .bind(plan.template_id)
        .bind(plan.template_version)
        .bind(plan.created_at)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// A person's plan.
    pub async fn plan(&self, user_id: Uuid, plan_id: Uuid) -> Result<PlanRow, Error> {
        let row = sqlx::query_as(
            "select plan_id, user_id, api_key_id, workspace_id, wish, model, facts, plan, state, snapshot_id,
                    template_id, template_version, created_at
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

    /// Writes down where a plan stands.
    pub async fn set_plan_state(&self, plan_id: Uuid, state: &str) -> Result<(), Error> {
        sqlx::query("update env_plans set state = $2, lease_until = null where plan_id = $1")
            .bind(plan_id)
            .bind(state)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Writes down that a plan's commands ended well with these files, and counts it for its template, once.
    pub async fn plan_verified(&self, plan_id: Uuid, plan: &[u8]) -> Result<(), Error> {
        sqlx::query(
            "with before as (select state, template_id, template_version from env_plans where plan_id = $1 for update),
                  done as (update env_plans set state = 'VERIFIED', plan = $2 where plan_id = $1)
             update env_templates t set successes = successes + 1 from before b
              where b.state = 'APPLIED' and t.template_id = b.template_id and t.version = b.template_version",
        )
        .bind(plan_id)
        .bind(plan)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Writes down that a plan was applied, with the files that were accepted, and the snapshot from before; counts it
    /// for its template.
    pub async fn plan_applied(&self, plan_id: Uuid, plan: &[u8], snapshot_id: Uuid) -> Result<(), Error> {
        sqlx::query(
            "with done as (update env_plans set state = 'APPLIED', plan = $2, snapshot_id = $3, lease_until = null
                            where plan_id = $1 returning template_id, template_version)
             update env_templates t set uses = uses + 1 from done d
              where t.template_id = d.template_id and t.version = d.template_version",
        )
        .bind(plan_id)
        .bind(plan)
        .bind(snapshot_id)
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}
