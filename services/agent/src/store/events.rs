//! SQL of what happens in a task: events, and the changes of the task that go with them, in one transaction.

use devstudio_kit::clock::timestamp;
use devstudio_proto::agent::v1::{
    AgentMessage, MessageKind, Pending, StateChanged, TaskEvent, TaskState, task_event::Event,
};
use prost::Message as _;
use serde_json::Value;
use sqlx::{Postgres, Transaction};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Store, notices::tell};
use crate::{Error, task::state_word};

/// Something that happened, before it has its number.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// Whose doing it is; empty for a person's and the house's.
    pub agent_id: String,
    /// What.
    pub event: Event,
}

impl NewEvent {
    /// By an agent.
    pub fn by(agent_id: &str, event: Event) -> Self {
        Self { agent_id: agent_id.to_owned(), event }
    }

    /// A message of one agent to another.
    pub fn message(from: &str, to: &str, kind: MessageKind, text: impl Into<String>) -> Self {
        // A program's output and a model's words may hold NUL; a text of PostgreSQL cannot.
        let text = text.into().replace('\0', "");
        let message = AgentMessage { from: from.to_owned(), to: to.to_owned(), kind: kind.into(), text };
        Self::by(from, Event::Message(message))
    }

    /// A change of state.
    pub fn state(state: TaskState, reason: impl Into<String>) -> Self {
        Self::by("", Event::State(StateChanged { state: state.into(), reason: reason.into() }))
    }
}

/// What changes in a task with its events; what is not set stays.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// Whose turn it is.
    pub agent_id: Option<String>,
    /// Steps more.
    pub steps: i32,
    /// Tokens more.
    pub tokens: i32,
    /// The plan.
    pub plan: Option<Vec<String>>,
    /// What is about to be done.
    pub intent: Option<Value>,
    /// The workspace as it was before.
    pub snapshot_id: Option<Uuid>,
    /// The task waits for a person from now on.
    pub pending: Option<Pending>,
    /// The task has ended so.
    pub ended: Option<(TaskState, String)>,
}

impl Store {
    /// Writes down what a worker did. Fails with [`Error::Lost`] where the task is not the worker's any more.
    pub async fn record(
        &self,
        (task_id, worker): (Uuid, Uuid),
        now: OffsetDateTime,
        change: Change,
        events: Vec<NewEvent>,
    ) -> Result<(), Error> {
        let state = match (&change.pending, &change.ended) {
            (_, Some((state, _))) => *state,
            (Some(_), None) => TaskState::Waiting,
            (None, None) => TaskState::Running,
        };
        let pending_id = change.pending.as_ref().map(|pending| pending.approval_id.clone());
        let pending_until = change.pending.as_ref().and_then(|pending| pending.expires_at.as_ref());
        let pending_until = pending_until.and_then(devstudio_kit::clock::from_timestamp);
        let (ended, result) = change.ended.clone().unzip();
        let mut transaction = self.pool.begin().await?;
        let last: Option<i64> = sqlx::query_scalar(
            "update tasks
                set last_seq = last_seq + $3, agent_id = coalesce($4, agent_id), steps = steps + $5,
                    tokens = tokens + $6, plan = coalesce($7, plan), intent = coalesce($8, intent),
                    snapshot_id = coalesce($9, snapshot_id), state = $10, pending = $11, pending_id = $12,
                    pending_until = $13, result = coalesce($14, result),
                    ended_at = case when $15 then $16::timestamptz end,
                    attempts = case when $3 > 0 then 0 else attempts end,
                    worker = case when $10 = 'RUNNING' then worker end,
                    lease_until = case when $10 = 'RUNNING' then lease_until end
              where task_id = $1 and worker = $2 and state = 'RUNNING'
             returning last_seq",
        )
        .bind(task_id)
        .bind(worker)
        .bind(events.len() as i64)
        .bind(&change.agent_id)
        .bind(change.steps)
        .bind(change.tokens)
        .bind(&change.plan)
        .bind(&change.intent)
        .bind(change.snapshot_id)
        .bind(state_word(state))
        .bind(change.pending.as_ref().map(|pending| pending.encode_to_vec()))
        .bind(&pending_id)
        .bind(pending_until)
        .bind(&result)
        .bind(ended.is_some())
        .bind(now)
        .fetch_optional(&mut *transaction)
        .await?;
        let first = last.ok_or(Error::Lost)? - events.len() as i64 + 1;
        insert(&mut transaction, task_id, first, now, &events).await?;
        tell(&mut *transaction, &format!("task {task_id}")).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Events of a task after a number, in order.
    pub async fn events(&self, task_id: Uuid, after: i64, most: i64) -> Result<Vec<TaskEvent>, Error> {
        let rows: Vec<(i64, String, Vec<u8>, OffsetDateTime)> = sqlx::query_as(
            "select seq, agent_id, payload, created_at from task_events
              where task_id = $1 and seq > $2 order by seq limit $3",
        )
        .bind(task_id)
        .bind(after)
        .bind(most)
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|(seq, agent_id, payload, at)| {
                let event = TaskEvent::decode(payload.as_slice())?;
                Ok(TaskEvent { seq, agent_id, at: Some(timestamp(at)), ..event })
            })
            .collect()
    }
}

/// Writes events from a number on.
pub(super) async fn insert(
    transaction: &mut Transaction<'_, Postgres>,
    task_id: Uuid,
    first: i64,
    now: OffsetDateTime,
    events: &[NewEvent],
) -> Result<(), Error> {
    let (mut seqs, mut agents, mut kinds, mut payloads) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut said_at, mut from, mut to, mut said, mut texts) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (seq, NewEvent { agent_id, event }) in (first..).zip(events) {
        seqs.push(seq);
        agents.push(agent_id.as_str());
        kinds.push(word(event));
        payloads.push(TaskEvent { event: Some(event.clone()), ..Default::default() }.encode_to_vec());
        if let Event::Message(message) = event {
            said_at.push(seq);
            from.push(message.from.as_str());
            to.push(message.to.as_str());
            said.push(message.kind().as_str_name().trim_start_matches("MESSAGE_KIND_"));
            texts.push(message.text.as_str());
        }
    }
    // One way to the database and back: a hand-over waits for it.
    sqlx::query(
        "with happened as (
           insert into task_events (task_id, seq, agent_id, kind, payload, created_at)
           select $1, seq, agent_id, kind, payload, $2
             from unnest($3::bigint[], $4::text[], $5::text[], $6::bytea[]) e (seq, agent_id, kind, payload))
         insert into agent_messages (task_id, seq, from_agent, to_agent, kind, body, created_at)
         select $1, seq, from_agent, to_agent, kind, body, $2
           from unnest($7::bigint[], $8::text[], $9::text[], $10::text[], $11::text[])
                m (seq, from_agent, to_agent, kind, body)",
    )
    .bind(task_id)
    .bind(now)
    .bind(seqs)
    .bind(agents)
    .bind(kinds)
    .bind(payloads)
    .bind(said_at)
    .bind(from)
    .bind(to)
    .bind(said)
    .bind(texts)
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

fn word(event: &Event) -> &'static str {
    match event {
        Event::State(_) => "state",
        Event::Plan(_) => "plan",
        Event::Action(_) => "action",
        Event::Done(_) => "done",
        Event::Waiting(_) => "waiting",
        Event::Decided(_) => "decided",
        Event::Message(_) => "message",
        Event::Progress(_) => "progress",
    }
}
