//! SQL of agents.

use devstudio_proto::agent::v1 as proto;
use sqlx::FromRow;

use super::Store;
use crate::Error;

/// An agent.
#[derive(Debug, Clone, FromRow)]
pub struct AgentRow {
    pub agent_id: String,
    pub name: String,
    pub description: String,
    pub avatar: String,
    pub system_prompt: String,
    pub tools: Vec<String>,
    pub model: String,
    pub temperature: f32,
    pub max_tokens: i32,
    pub version: i32,
}

impl From<AgentRow> for proto::Agent {
    fn from(row: AgentRow) -> Self {
        Self {
            agent_id: row.agent_id,
            name: row.name,
            description: row.description,
            avatar: row.avatar,
            system_prompt: row.system_prompt,
            tools: row.tools,
            model: row.model,
            temperature: row.temperature,
            max_tokens: row.max_tokens,
            version: row.version,
        }
    }
}

impl Store {
    /// All agents, by name.
    pub async fn agents(&self) -> Result<Vec<AgentRow>, Error> {
        Ok(sqlx::query_as("select * from agents order by agent_id").fetch_all(&self.pool).await?)
    }

    /// One agent.
    pub async fn agent(&self, agent_id: &str) -> Result<AgentRow, Error> {
        let row = sqlx::query_as("select * from agents where agent_id = $1")
            .bind(agent_id)
            .fetch_optional(&self.pool);
        row.await?.ok_or(Error::NotFound("agent"))
    }

    /// Changes an agent that still has the version that was read.
    pub async fn update_agent(&self, agent: &proto::Agent) -> Result<AgentRow, Error> {
        let changed = sqlx::query_as(
            "update agents set name = $3, description = $4, avatar = $5, system_prompt = $6, tools = $7, model = $8,
                    temperature = $9, max_tokens = $10, version = version + 1
              where agent_id = $1 and version = $2
             returning *",
        )
        .bind(&agent.agent_id)
        .bind(agent.version)
        .bind(&agent.name)
        .bind(&agent.description)
        .bind(&agent.avatar)
        .bind(&agent.system_prompt)
        .bind(&agent.tools)
        .bind(&agent.model)
        .bind(agent.temperature)
        .bind(agent.max_tokens)
        .fetch_optional(&self.pool)
        .await?;
        match changed {
            Some(row) => Ok(row),
            None => Err(Error::VersionConflict(self.agent(&agent.agent_id).await?.version)),
        }
    }
}
