//! A task as the database has it, and the words for its kind, state and policy.

use devstudio_kit::clock::timestamp;
use devstudio_proto::agent::v1::{self as proto, Pending, TaskKind, TaskPolicy, TaskState};
use prost::Message as _;
use sqlx::FromRow;
use time::OffsetDateTime;
use uuid::Uuid;

/// A row of `tasks`.
#[derive(Debug, Clone, FromRow)]
pub struct Task {
    pub task_id: Uuid,
    pub user_id: Uuid,
    pub api_key_id: Option<Uuid>,
    pub workspace_id: Uuid,
    pub kind: String,
    pub prompt: String,
    pub paths: Vec<String>,
    pub policy: String,
    pub model: String,
    pub max_steps: i32,
    pub max_tokens: i32,
    pub max_ms: i64,
    pub traceparent: String,
    pub state: String,
    pub agent_id: String,
    pub steps: i32,
    pub tokens: i32,
    pub worked_ms: i64,
    pub plan: Vec<String>,
    pub pending: Option<Vec<u8>>,
    pub intent: Option<serde_json::Value>,
    pub snapshot_id: Option<Uuid>,
    pub result: String,
    pub cancelled: bool,
    /// How often a worker took it up since something of it was written down.
    pub attempts: i32,
    pub last_seq: i64,
    pub created_at: OffsetDateTime,
    pub started_at: Option<OffsetDateTime>,
    pub ended_at: Option<OffsetDateTime>,
}

impl Task {
    /// What it is about.
    pub fn kind(&self) -> TaskKind {
        kind_of(&self.kind)
    }

    /// What agents may do without being asked.
    pub fn policy(&self) -> TaskPolicy {
        policy_of(&self.policy)
    }

    /// It will not change any more.
    pub fn has_ended(&self) -> bool {
        self.ended_at.is_some()
    }

    /// What it waits for.
    pub fn pending(&self) -> Option<Pending> {
        self.pending.as_deref().and_then(|bytes| Pending::decode(bytes).ok())
    }

    /// As the contract has it.
    pub fn message(&self) -> proto::Task {
        proto::Task {
            task_id: self.task_id.to_string(),
            kind: self.kind().into(),
            prompt: self.prompt.clone(),
            state: state_of(&self.state).into(),
            workspace_id: self.workspace_id.to_string(),
            agent_id: self.agent_id.clone(),
            policy: self.policy().into(),
            steps: self.steps,
            max_steps: self.max_steps,
            tokens: self.tokens,
            max_tokens: self.max_tokens,
            result: self.result.clone(),
            plan: self.plan.clone(),
            pending: self.pending(),
            snapshot_id: self.snapshot_id.map(|id| id.to_string()).unwrap_or_default(),
            created_at: Some(timestamp(self.created_at)),
            started_at: self.started_at.map(timestamp),
            ended_at: self.ended_at.map(timestamp),
            last_seq: self.last_seq,
            model: self.model.clone(),
            max_ms: self.max_ms,
        }
    }
}

/// The word of a kind; none where it is not set.
pub fn kind_word(kind: TaskKind) -> Option<&'static str> {
    Some(match kind {
        TaskKind::Unspecified => return None,
        TaskKind::Code => "code",
        TaskKind::Test => "test",
        TaskKind::Design => "design",
        TaskKind::Review => "review",
        TaskKind::Fix => "fix",
        TaskKind::Docs => "docs",
        TaskKind::Provision => "provision",
    })
}

fn kind_of(word: &str) -> TaskKind {
    TaskKind::from_str_name(&format!("TASK_KIND_{}", word.to_uppercase())).unwrap_or_default()
}

/// The word of a policy.
pub fn policy_word(policy: TaskPolicy) -> &'static str {
    match policy {
        TaskPolicy::ReadOnly => "read-only",
        TaskPolicy::Ask => "ask",
        TaskPolicy::Unspecified | TaskPolicy::Workspace => "workspace",
        TaskPolicy::Free => "free",
    }
}

fn policy_of(word: &str) -> TaskPolicy {
    match word {
        "read-only" => TaskPolicy::ReadOnly,
        "ask" => TaskPolicy::Ask,
        "free" => TaskPolicy::Free,
        _ => TaskPolicy::Workspace,
    }
}

/// The word of a state.
pub fn state_word(state: TaskState) -> &'static str {
    state.as_str_name().trim_start_matches("TASK_STATE_")
}

/// The state of a word.
pub fn state_of(word: &str) -> TaskState {
    TaskState::from_str_name(&format!("TASK_STATE_{word}")).unwrap_or_default()
}
