//! Which agents work on which kind of task, and what people do with tasks: give, look, cancel, approve, answer.

use std::sync::Arc;

use devstudio_kit::{Caller, clock::Clock, identity::Identity, telemetry};
use devstudio_proto::agent::v1::{self as proto, Decided, SubmitTaskRequest, TaskKind};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    Error, action,
    notices::Notices,
    peers::Peers,
    store::{NewTask, Store},
    task::{Task, kind_word, policy_word},
    work::actor,
};

/// The agent that makes plans.
pub const PLANNER: &str = "planner";
/// How often work is handed back before the task fails.
pub const MOST_HANDED_BACK: usize = 3;

const MAX_STEPS: i32 = 12;
const MAX_TOKENS: i32 = 100_000;
const MAX_MS: i64 = 600_000;
const PAGE: i32 = 50;

/// How a kind of task is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    /// Others plan it first.
    pub planned: bool,
    /// Who does it.
    pub doer: &'static str,
    /// Who looks at what was done, and hands it back where it is not right.
    pub checker: Option<&'static str>,
    /// The doer has to change a file before it may say that it has finished.
    pub writes: bool,
}

/// The way of a kind; none of one that is not set.
pub fn way(kind: TaskKind) -> Option<Way> {
    let way = |planned, doer, checker, writes| Some(Way { planned, doer, checker, writes });
    match kind {
        TaskKind::Unspecified => None,
        TaskKind::Code => way(true, "coder", Some("tester"), true),
        TaskKind::Fix => way(true, "fixer", Some("tester"), true),
        TaskKind::Docs => way(true, "writer", Some("reviewer"), true),
        TaskKind::Design => way(true, "designer", Some("reviewer"), true),
        TaskKind::Provision => way(true, "provisioner", Some("tester"), true),
        TaskKind::Test => way(false, "tester", None, false),
        TaskKind::Review => way(false, "reviewer", None, false),
    }
}

/// Where a page goes on: after the task of this time and id.
pub type After = Option<(OffsetDateTime, Uuid)>;

/// Answers people. Cheap to clone.
#[derive(Clone)]
pub struct Dispatcher {
    pub store: Store,
    pub notices: Arc<Notices>,
    pub clock: Clock,
    pub peers: Peers,
    /// Most open tasks of one person.
    pub open_tasks: i64,
    /// Ends watches when the process stops.
    pub stop: CancellationToken,
}

impl Dispatcher {
    /// Takes a task into the queue.
    pub async fn submit(&self, caller: &Caller, asked: SubmitTaskRequest) -> Result<Uuid, Error> {
        let person = caller.person()?;
        let kind = asked.kind();
        let (Some(way), Some(word)) = (way(kind), kind_word(kind)) else {
            let why = "must be code, test, design, review, fix, docs or provision".to_owned();
            return Err(Error::Invalid { pointer: "/kind", keyword: "enum", why });
        };
        if asked.prompt.contains('\0') || asked.paths.iter().any(|path| path.contains('\0')) {
            let why = "must not hold NUL".to_owned();
            return Err(Error::Invalid { pointer: "/prompt", keyword: "pattern", why });
        }
        let workspace_id = self.peers.workspace(caller, &asked.workspace_id).await?;
        let mut headers = http::HeaderMap::new();
        telemetry::inject(&mut headers);
        let traceparent =
            headers.get("traceparent").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let or = |value: i32, usual: i32| if value == 0 { usual } else { value };
        let task = NewTask {
            task_id: Uuid::now_v7(),
            user_id: person.user_id,
            api_key_id: person.key_id,
            workspace_id,
            kind: word,
            policy: policy_word(asked.policy()),
            prompt: asked.prompt,
            paths: asked.paths,
            model: asked.model,
            max_steps: or(asked.max_steps, MAX_STEPS),
            max_tokens: or(asked.max_tokens, MAX_TOKENS),
            max_ms: if asked.max_ms == 0 { MAX_MS } else { asked.max_ms },
            traceparent: traceparent.to_owned(),
            agent_id: if way.planned { PLANNER } else { way.doer }.to_owned(),
        };
        self.store.add_task(&task, self.clock.now(), self.open_tasks).await?;
        Ok(task.task_id)
    }

    /// A person's task.
    pub async fn get(&self, person: &Identity, task_id: Uuid) -> Result<Task, Error> {
        self.store.task(person.user_id, task_id).await
    }

    /// A page of a person's tasks, and where the next begins.
    pub async fn list(
        &self,
        person: &Identity,
        workspace_id: Option<Uuid>,
        page_size: i32,
        after: After,
    ) -> Result<(Vec<Task>, After), Error> {
        let size = if page_size == 0 { PAGE } else { page_size };
        let mut tasks = self.store.tasks(person.user_id, workspace_id, after, i64::from(size) + 1).await?;
        let more = tasks.len() > size as usize;
        tasks.truncate(size as usize);
        let next = tasks.last().filter(|_| more).map(|task| (task.created_at, task.task_id));
        Ok((tasks, next))
    }

    /// Cancels a person's task.
    pub async fn cancel(&self, person: &Identity, task_id: Uuid) -> Result<(), Error> {
        let task = self.store.cancel(person.user_id, task_id, self.clock.now()).await?;
        // One that was given back by a process that stopped may have locks still; where a worker has it, that sees to them.
        if task.state != "RUNNING" {
            self.peers.let_go(&actor(&task, &task.agent_id)).await;
        }
        Ok(())
    }

    /// Writes down what a person decided.
    pub async fn decide(&self, person: &Identity, task_id: Uuid, decided: Decided) -> Result<(), Error> {
        if person.task.is_some() {
            return Err(Error::PersonOnly);
        }
        self.store.decide(person.user_id, task_id, decided, self.clock.now()).await
    }

    /// The agents.
    pub async fn agents(&self) -> Result<Vec<proto::Agent>, Error> {
        Ok(self.store.agents().await?.into_iter().map(Into::into).collect())
    }

    /// Changes an agent.
    pub async fn update(&self, agent: proto::Agent) -> Result<proto::Agent, Error> {
        let known = action::tools();
        if let Some(other) = agent.tools.iter().find(|tool| !known.contains(tool)) {
            let why = format!("must name actions; {other:?} is none of {}", known.join(", "));
            return Err(Error::Invalid { pointer: "/agent/tools", keyword: "enum", why });
        }
        Ok(self.store.update_agent(&agent).await?.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_agents_and_an_unknown_one_has_none() {
        let doer = |kind| way(kind).map(|way| way.doer);
        assert_eq!(doer(TaskKind::Code), Some("coder"));
        assert_eq!(doer(TaskKind::Test), Some("tester"));
        assert_eq!(doer(TaskKind::Design), Some("designer"));
        assert_eq!(doer(TaskKind::Review), Some("reviewer"));
        assert_eq!(doer(TaskKind::Fix), Some("fixer"));
        assert_eq!(doer(TaskKind::Docs), Some("writer"));
        assert_eq!(doer(TaskKind::Provision), Some("provisioner"));
        assert_eq!(doer(TaskKind::Unspecified), None);
        assert_eq!(way(TaskKind::Code).and_then(|way| way.checker), Some("tester"));
    }
}
