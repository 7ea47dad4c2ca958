//! The work on one task: plan, then choose, do and look, step by step, until an agent says that it has finished.
//!
//! Each turn of the loop does one thing and writes it down; whatever is not written down was not done. So the loop may
//! be dropped at any point (a cancel, a kill) and begun anew. `choose` has what comes next chosen, `settle` brings it to
//! its end.

mod choose;
mod settle;

use std::time::{Duration, Instant};

use devstudio_kit::{Fault, Reason};
use devstudio_proto::agent::v1::{ContextReason, MessageKind, Pending, TaskEvent, TaskState};
use sha2::{Digest as _, Sha256};
use tokio::time::sleep;
use uuid::Uuid;

use crate::{
    Error,
    agent_dispatcher::{Way, way},
    memory::Memory,
    peers::Actor,
    policy,
    store::{Change, NewEvent},
    task::Task,
    worker::Worker,
};

/// How often what fails for a while is tried again, and how long it is waited for at most.
const AGAIN: u32 = 8;
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// In whose name an agent acts.
pub fn actor(task: &Task, agent_id: &str) -> Actor {
    Actor {
        user_id: task.user_id,
        key_id: task.api_key_id,
        task_id: task.task_id,
        agent_id: agent_id.to_owned(),
        workspace_id: task.workspace_id,
    }
}

/// The work on a task.
pub struct Work<'a> {
    worker: &'a Worker,
    task: Task,
    ours: (Uuid, Uuid),
    memory: Memory,
    way: Way,
    handed_over: Option<Instant>,
    /// Files that are like the task, once they were looked for.
    alike: Option<Vec<(String, ContextReason)>>,
}

impl<'a> Work<'a> {
    /// Of a task that a worker has taken.
    pub fn new(worker: &'a Worker, task: Task, id: Uuid) -> Self {
        let ours = (task.task_id, id);
        let way =
            way(task.kind()).unwrap_or(Way { planned: false, doer: "coder", checker: None, writes: false });
        Self { worker, task, ours, memory: Memory::default(), way, handed_over: None, alike: None }
    }

    /// Works until the task has ended or waits for a person.
    pub async fn run(mut self) -> Result<(), Error> {
        let mut began = Instant::now();
        self.memory = Memory::of(self.worker.store.events(self.task.task_id, 0, i64::MAX).await?);
        // Told once, however often a killed worker's task is taken up.
        if self.memory.state != Some(TaskState::Running) {
            self.record(Change::default(), vec![NewEvent::state(TaskState::Running, "")]).await?;
        }
        let mut failures = 0;
        loop {
            match Box::pin(self.step()).await {
                Ok(true) if began.elapsed() > self.worker.slice && self.memory.undone().is_none() => {
                    if self.gives_way().await? {
                        return Ok(());
                    }
                    (began, failures) = (Instant::now(), 0);
                }
                Ok(true) => failures = 0,
                Ok(false) => return Ok(()),
                Err(Error::Fault(fault)) if passes(&fault) && failures < AGAIN => {
                    let pause = Duration::from_millis(250 << failures).min(LONGEST_PAUSE);
                    tracing::info!(reason = %fault, ?pause, "trying again");
                    failures += 1;
                    sleep(pause).await;
                }
                Err(Error::Fault(fault)) => return self.fail(&said(&fault)).await,
                Err(error) => return Err(error),
            }
        }
    }

    /// Does one thing. Tells whether there is more to do.
    async fn step(&mut self) -> Result<bool, Error> {
        if self.way.planned && self.memory.plan.is_none() {
            return self.plan().await;
        }
        if let Some(plan) = &self.memory.plan
            && policy::asks_about_plans(self.task.policy())
            && self.memory.steps.is_empty()
        {
            match &self.memory.plan_decided {
                None => {
                    let text = plan.join("\n");
                    let approval_id = hex::encode(Sha256::digest(text.as_bytes()));
                    let reason = "this task asks before it begins".to_owned();
                    return self.ask(approval_id, Pending { reason, ..Pending::default() }).await;
                }
                Some(decided) if !decided.allowed => {
                    self.memory.plan = None;
                    return Ok(true);
                }
                Some(_) => {}
            }
        }
        match self.memory.undone().cloned() {
            Some(step) => self.settle(step).await,
            None => self.choose().await,
        }
    }

    /// Goes back into the queue where somebody else waits who has no worker at all. What it has locked is free meanwhile.
    async fn gives_way(&self) -> Result<bool, Error> {
        let (store, now) = (&self.worker.store, self.worker.clock.now());
        if !store.others_wait(self.task.user_id, now).await? {
            return Ok(false);
        }
        self.worker.peers.let_go(&self.actor()).await;
        let event = NewEvent::state(TaskState::Queued, "others have their turn");
        store.give_way(self.ours, now, event).await?;
        Ok(true)
    }

    fn actor(&self) -> Actor {
        actor(&self.task, &self.task.agent_id)
    }

    async fn record(&mut self, change: Change, events: Vec<NewEvent>) -> Result<(), Error> {
        let (steps, tokens, agent_id) = (change.steps, change.tokens, change.agent_id.clone());
        let (snapshot_id, intent) = (change.snapshot_id, change.intent.clone());
        self.worker.store.record(self.ours, self.worker.clock.now(), change, events.clone()).await?;
        self.task.steps += steps;
        self.task.tokens += tokens;
        self.task.agent_id = agent_id.unwrap_or(std::mem::take(&mut self.task.agent_id));
        self.task.snapshot_id = snapshot_id.or(self.task.snapshot_id);
        self.task.intent = intent.or(self.task.intent.take());
        for NewEvent { agent_id, event } in events {
            self.memory.add(TaskEvent { agent_id, event: Some(event), ..TaskEvent::default() });
        }
        Ok(())
    }

    async fn fail(&mut self, why: &str) -> Result<(), Error> {
        self.end(TaskState::Failed, why, Vec::new()).await
    }

    /// Ends the task, with what happened last.
    async fn end(&mut self, state: TaskState, result: &str, mut events: Vec<NewEvent>) -> Result<(), Error> {
        let result = &result.replace('\0', "");
        self.worker.peers.let_go(&self.actor()).await;
        let kind = if state == TaskState::Succeeded { MessageKind::Result } else { MessageKind::Error };
        events.push(NewEvent::message(&self.task.agent_id, "user", kind, result));
        events.push(NewEvent::state(state, if state == TaskState::Failed { result } else { "" }));
        self.record(Change { ended: Some((state, result.to_owned())), ..Change::default() }, events).await?;
        self.worker.ended(&self.task, state, result);
        Ok(())
    }
}

/// Is it worth trying again in a moment?
fn passes(fault: &Fault) -> bool {
    matches!(
        fault.reason,
        Reason::UpstreamUnavailable
            | Reason::ModelLoading
            | Reason::QueueFull
            | Reason::RateLimited
            | Reason::Deadline
            | Reason::Cancelled
            | Reason::DiskFull
    )
}

fn said(fault: &Fault) -> String {
    format!("{}: {}", devstudio_kit::fault::name(fault.reason), fault.message)
}
