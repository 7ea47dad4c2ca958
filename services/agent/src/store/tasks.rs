//! SQL of tasks: the queue, leases of workers, and what people decide.

use devstudio_proto::agent::v1::{Decided, MessageKind, TaskState, task_event::Event};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    Store,
    events::{NewEvent, insert},
    notices::tell,
};
use crate::{Error, task::Task};

const COLUMNS: &str = "task_id, user_id, api_key_id, workspace_id, kind, prompt, paths, policy, model, max_steps, max_tokens,
    max_ms, traceparent, state, agent_id, steps, tokens, worked_ms, plan, pending, intent, snapshot_id, result, cancelled, attempts,
    last_seq, created_at, started_at, ended_at";

/// Where a task stands that comes back into the queue: after the first of everybody, before anybody's second.
const TURN: &str = "turn = coalesce((select min(o.turn) from tasks o
                       where o.state in ('QUEUED', 'RUNNING') and o.task_id <> tasks.task_id), 0)
                  + (select count(*) from tasks o
                       where o.user_id = tasks.user_id and o.state in ('QUEUED', 'RUNNING')
                         and o.task_id <> tasks.task_id)";

/// A task that is given.
#[derive(Debug, Clone)]
pub struct NewTask {
    pub task_id: Uuid,
    pub user_id: Uuid,
    pub api_key_id: Option<Uuid>,
    pub workspace_id: Uuid,
    pub kind: &'static str,
    pub prompt: String,
    pub paths: Vec<String>,
    pub policy: &'static str,
    pub model: String,
    pub max_steps: i32,
    pub max_tokens: i32,
    pub max_ms: i64,
    pub traceparent: String,
    pub agent_id: String,
}

/// What a person's decision is held against.
#[derive(sqlx::FromRow)]
struct Waiting {
    state: String,
    pending_id: Option<String>,
    pending_until: Option<OffsetDateTime>,
    last_seq: i64,
    agent_id: String,
}

fn select(rest: &str) -> sqlx::AssertSqlSafe<String> {
    sqlx::AssertSqlSafe(format!("select {COLUMNS} from tasks {rest}"))
}

impl Store {
    /// Takes a task into the queue, where fewer than `most` of the person's are open. Its turn is that of the first
    /// that waits, plus how many of the person's are before it: so everybody's first comes before anybody's second.
    pub async fn add_task(&self, task: &NewTask, now: OffsetDateTime, most: i64) -> Result<(), Error> {
        let mut transaction = self.pool.begin().await?;
        // One person's submissions one after the other, so that they are counted right.
        sqlx::query("select pg_advisory_xact_lock(hashtextextended($1::text, 9))")
            .bind(task.user_id)
            .execute(&mut *transaction)
            .await?;
        let open: i64 = sqlx::query_scalar(
            "select count(*) from tasks where user_id = $1 and state in ('QUEUED', 'RUNNING', 'WAITING')",
        )
        .bind(task.user_id)
        .fetch_one(&mut *transaction)
        .await?;
        if open >= most {
            return Err(Error::QueueFull(open));
        }
        let events = [
            NewEvent::state(TaskState::Queued, ""),
            NewEvent::message("user", &task.agent_id, MessageKind::Request, task.prompt.clone()),
        ];
        sqlx::query(
            "insert into tasks (task_id, user_id, api_key_id, workspace_id, kind, prompt, paths, policy, model, max_steps,
                                max_tokens, max_ms, traceparent, agent_id, created_at, queued_at, last_seq, turn)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $15, $16,
                     coalesce((select min(turn) from tasks where state in ('QUEUED', 'RUNNING')), 0)
                     + (select count(*) from tasks where user_id = $2 and state in ('QUEUED', 'RUNNING')))",
        )
        .bind(task.task_id)
        .bind(task.user_id)
        .bind(task.api_key_id)
        .bind(task.workspace_id)
        .bind(task.kind)
        .bind(&task.prompt)
        .bind(&task.paths)
        .bind(task.policy)
        .bind(&task.model)
        .bind(task.max_steps)
        .bind(task.max_tokens)
        .bind(task.max_ms)
        .bind(&task.traceparent)
        .bind(&task.agent_id)
        .bind(now)
        .bind(events.len() as i64)
        .execute(&mut *transaction)
        .await?;
        insert(&mut transaction, task.task_id, 1, now, &events).await?;
        tell(&mut *transaction, "queued").await?;
        transaction.commit().await?;
        Ok(())
    }

    /// A person's task.
    pub async fn task(&self, user_id: Uuid, task_id: Uuid) -> Result<Task, Error> {
        let row = sqlx::query_as(select("where task_id = $1 and user_id = $2"))
            .bind(task_id)
            .bind(user_id)
            .fetch_optional(&self.pool)
            .await?;
        row.ok_or(Error::NotFound("task"))
    }

    /// A person's tasks, newest first, those after `after`.
    pub async fn tasks(
        &self,
        user_id: Uuid,
        workspace_id: Option<Uuid>,
        after: Option<(OffsetDateTime, Uuid)>,
        most: i64,
    ) -> Result<Vec<Task>, Error> {
        let (at, id) = after.unzip();
        let rows = sqlx::query_as(select(
            "where user_id = $1 and ($2::uuid is null or workspace_id = $2)
               and ($3::timestamptz is null or (created_at, task_id) < ($3, $4))
             order by created_at desc, task_id desc limit $5",
        ))
        .bind(user_id)
        .bind(workspace_id)
        .bind(at)
        .bind(id)
        .bind(most)
        .fetch_all(&self.pool)
        .await?;
        Ok(rows)
    }

    /// Takes the next task for a worker: one that waits, or one whose worker is gone. Whoever has the fewest tasks that
    /// are worked on comes first, so that nobody has all workers while others wait.
    pub async fn claim(
        &self,
        worker: Uuid,
        now: OffsetDateTime,
        lease_until: OffsetDateTime,
    ) -> Result<Option<Task>, Error> {
        let claimed = format!(
            "update tasks set state = 'RUNNING', worker = $1, lease_until = $3, started_at = coalesce(started_at, $2),
                    attempts = attempts + 1
              where task_id = (
                select t.task_id from tasks t
                  left join (select user_id, count(*) as tasks from tasks
                              where state = 'RUNNING' and lease_until >= $2 group by user_id) busy using (user_id)
                 where t.state = 'QUEUED' or (t.state = 'RUNNING' and t.lease_until < $2)
                 order by coalesce(busy.tasks, 0), t.turn, t.queued_at limit 1 for update of t skip locked)
             returning {COLUMNS}"
        );
        let claimed = sqlx::query_as(sqlx::AssertSqlSafe(claimed));
        Ok(claimed.bind(worker).bind(now).bind(lease_until).fetch_optional(&self.pool).await?)
    }

    /// Keeps a task for its worker, and counts the time that it was worked on. Tells whether it is to be cancelled;
    /// nothing where the task is not the worker's any more.
    pub async fn renew(
        &self,
        (task_id, worker): (Uuid, Uuid),
        lease_until: OffsetDateTime,
        worked_ms: i64,
    ) -> Result<Option<bool>, Error> {
        Ok(sqlx::query_scalar(
            "update tasks set lease_until = $3, worked_ms = worked_ms + $4
              where task_id = $1 and worker = $2 and state = 'RUNNING' returning cancelled",
        )
        .bind(task_id)
        .bind(worker)
        .bind(lease_until)
        .bind(worked_ms)
        .fetch_optional(&self.pool)
        .await?)
    }

    /// Gives a task back, for another worker to go on with at once.
    pub async fn give_back(&self, (task_id, worker): (Uuid, Uuid)) -> Result<(), Error> {
        sqlx::query(
            "update tasks set state = 'QUEUED', worker = null, lease_until = null, attempts = 0
              where task_id = $1 and worker = $2 and state = 'RUNNING'",
        )
        .bind(task_id)
        .bind(worker)
        .execute(&self.pool)
        .await?;
        tell(&self.pool, "queued").await
    }

    /// Does somebody else wait who has no task that is worked on?
    pub async fn others_wait(&self, user_id: Uuid, now: OffsetDateTime) -> Result<bool, Error> {
        Ok(sqlx::query_scalar(
            "select exists (
               select 1 from tasks t
                where (t.state = 'QUEUED' or (t.state = 'RUNNING' and t.lease_until < $2)) and t.user_id <> $1
                  and not exists (select 1 from tasks r
                                   where r.user_id = t.user_id and r.state = 'RUNNING' and r.lease_until >= $2))",
        )
        .bind(user_id)
        .bind(now)
        .fetch_one(&self.pool)
        .await?)
    }

    /// Puts a task back into the queue, behind those of others that wait.
    pub async fn give_way(
        &self,
        (task_id, worker): (Uuid, Uuid),
        now: OffsetDateTime,
        event: NewEvent,
    ) -> Result<(), Error> {
        let mut transaction = self.pool.begin().await?;
        let sql = format!(
            "update tasks set state = 'QUEUED', worker = null, lease_until = null, attempts = 0,
                    last_seq = last_seq + 1, queued_at = $3, {TURN}
              where task_id = $1 and worker = $2 and state = 'RUNNING' returning last_seq"
        );
        let seq: Option<i64> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .bind(task_id)
            .bind(worker)
            .bind(now)
            .fetch_optional(&mut *transaction)
            .await?;
        insert(&mut transaction, task_id, seq.ok_or(Error::Lost)?, now, &[event]).await?;
        tell(&mut *transaction, "queued").await?;
        tell(&mut *transaction, &format!("task {task_id}")).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Cancels a person's task: at once where nobody works on it, else its worker is told.
    pub async fn cancel(&self, user_id: Uuid, task_id: Uuid, now: OffsetDateTime) -> Result<Task, Error> {
        let mut transaction = self.pool.begin().await?;
        let task: Task = sqlx::query_as(select("where task_id = $1 and user_id = $2 for update"))
            .bind(task_id)
            .bind(user_id)
            .fetch_optional(&mut *transaction)
            .await?
            .ok_or(Error::NotFound("task"))?;
        if task.has_ended() {
            return Err(Error::State("the task has ended"));
        }
        if task.state == "RUNNING" {
            sqlx::query("update tasks set cancelled = true where task_id = $1")
                .bind(task_id)
                .execute(&mut *transaction)
                .await?;
        } else {
            let events = [
                NewEvent::message("user", &task.agent_id, MessageKind::Cancel, ""),
                NewEvent::state(TaskState::Cancelled, ""),
            ];
            sqlx::query(
                "update tasks set state = 'CANCELLED', cancelled = true, ended_at = $2, pending = null, pending_id = null,
                        pending_until = null, last_seq = last_seq + $3 where task_id = $1",
            )
            .bind(task_id)
            .bind(now)
            .bind(events.len() as i64)
            .execute(&mut *transaction)
            .await?;
            insert(&mut transaction, task_id, task.last_seq + 1, now, &events).await?;
        }
        tell(&mut *transaction, &format!("cancel {task_id}")).await?;
        tell(&mut *transaction, &format!("task {task_id}")).await?;
        transaction.commit().await?;
        Ok(task)
    }

    /// Writes down what a person decided, and lets the task go on.
    pub async fn decide(
        &self,
        user_id: Uuid,
        task_id: Uuid,
        decided: Decided,
        now: OffsetDateTime,
    ) -> Result<(), Error> {
        let mut transaction = self.pool.begin().await?;
        let found: Option<Waiting> = sqlx::query_as(
            "select state, pending_id, pending_until, last_seq, agent_id from tasks
              where task_id = $1 and user_id = $2 for update",
        )
        .bind(task_id)
        .bind(user_id)
        .fetch_optional(&mut *transaction)
        .await?;
        let Waiting { state, pending_id, pending_until, last_seq, agent_id } =
            found.ok_or(Error::NotFound("task"))?;
        if state != "WAITING" {
            return Err(Error::State("the task does not wait for anything"));
        }
        if pending_id.as_deref() != Some(&decided.approval_id) {
            return Err(Error::State("the task waits for something else"));
        }
        let late = pending_until.is_some_and(|until| until < now);
        let mut events = Vec::new();
        if !late {
            let kind =
                if decided.approval_id.is_empty() { MessageKind::Result } else { MessageKind::Request };
            events.push(NewEvent::by("", Event::Decided(decided.clone())));
            if !decided.text.is_empty() {
                events.push(NewEvent::message("user", &agent_id, kind, decided.text));
            }
        }
        // A late approval starts a new question: the agent asks again, about the workspace as it is then.
        events.push(NewEvent::state(TaskState::Queued, if late { "the approval came too late" } else { "" }));
        let sql = format!(
            "update tasks set state = 'QUEUED', pending = null, pending_id = null, pending_until = null,
                    last_seq = last_seq + $2, queued_at = $3, {TURN} where task_id = $1"
        );
        sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(task_id)
            .bind(events.len() as i64)
            .bind(now)
            .execute(&mut *transaction)
            .await?;
        insert(&mut transaction, task_id, last_seq + 1, now, &events).await?;
        tell(&mut *transaction, "queued").await?;
        tell(&mut *transaction, &format!("task {task_id}")).await?;
        transaction.commit().await?;
        if late { Err(Error::State("the approval came too late; the task asks again")) } else { Ok(()) }
    }
}
