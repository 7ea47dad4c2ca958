//! SQL of templates of workspaces. A person sees those that DevStudio brings along, and their own.

use sqlx::FromRow;
use time::OffsetDateTime;
use uuid::Uuid;

use super::Store;
use crate::Error;

/// The newest version of a template.
#[derive(Debug, Clone, FromRow)]
pub struct TemplateRow {
    pub template_id: Uuid,
    pub version: i32,
    pub built_in: String,
    pub name: String,
    pub about: String,
    /// An EnvPlan, as JSON.
    pub plan: String,
    /// Of all its versions.
    pub uses: i64,
    pub successes: i64,
}

const NEWEST: &str = "select distinct on (template_id) template_id, version, built_in, name, about, plan::text as plan,
        sum(uses) over (partition by template_id) as uses, sum(successes) over (partition by template_id) as successes
   from env_templates where (user_id is null or user_id = $1)";

impl Store {
    /// All templates of a person, and those of the house.
    pub async fn templates(&self, user_id: Uuid) -> Result<Vec<TemplateRow>, Error> {
        let sql = format!("{NEWEST} order by template_id, version desc");
        Ok(sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(user_id).fetch_all(&self.pool).await?)
    }

    /// A template of a person's or of the house.
    pub async fn template(&self, user_id: Uuid, template_id: Uuid) -> Result<TemplateRow, Error> {
        let sql = format!("{NEWEST} and template_id = $2 order by template_id, version desc");
        let found = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(user_id).bind(template_id);
        found.fetch_optional(&self.pool).await?.ok_or(Error::NotFound("template"))
    }

    /// Keeps a template under a name; tells its id and version. Nothing where the person has so many already.
    pub async fn keep_template(
        &self,
        user_id: Uuid,
        name: &str,
        about: &str,
        plan: &str,
        now: OffsetDateTime,
        most: i64,
    ) -> Result<Option<(Uuid, i32)>, Error> {
        let mut tx = self.pool.begin().await?;
        // One after the other for a person, so that versions count up.
        sqlx::query("select pg_advisory_xact_lock(hashtextextended('env_templates' || $1::text, 0))")
            .bind(user_id)
            .execute(&mut *tx)
            .await?;
        let known: Option<(Uuid, i32)> = sqlx::query_as(
            "select template_id, version from env_templates where user_id = $1 and name = $2
              order by version desc limit 1",
        )
        .bind(user_id)
        .bind(name)
        .fetch_optional(&mut *tx)
        .await?;
        let count: i64 = sqlx::query_scalar("select count(*) from env_templates where user_id = $1")
            .bind(user_id)
            .fetch_one(&mut *tx)
            .await?;
        if count >= most {
            return Ok(None);
        }
        let (template_id, version) =
            known.map_or_else(|| (Uuid::now_v7(), 1), |(id, version)| (id, version + 1));
        sqlx::query(
            "insert into env_templates (template_id, version, user_id, name, about, plan, created_at)
             values ($1, $2, $3, $4, $5, $6::jsonb, $7)",
        )
        .bind(template_id)
        .bind(version)
        .bind(user_id)
        .bind(name)
        .bind(about)
        .bind(plan)
        .bind(now)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(Some((template_id, version)))
    }

    /// Deletes a template of a person's.
    pub async fn delete_template(&self, user_id: Uuid, template_id: Uuid) -> Result<(), Error> {
        let gone = sqlx::query("delete from env_templates where template_id = $1 and user_id = $2")
            .bind(template_id)
            .bind(user_id)
            .execute(&self.pool)
            .await?;
        if gone.rows_affected() > 0 { Ok(()) } else { Err(Error::NotFound("template")) }
    }
}
