//! What was chosen is brought to its end: refused, asked about, done, handed over, or the end of the task.

use std::time::Instant;

use devstudio_kit::Fault;
use devstudio_proto::agent::v1::{
    ActionDone, MessageKind, Pending, TaskKind, TaskPolicy, TaskState, agent_action::Act, task_event::Event,
};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::Work;
use crate::{
    Error,
    act::{self, Doing, Intents},
    action,
    agent_dispatcher::MOST_HANDED_BACK,
    memory::Step,
    policy,
    store::{Change, NewEvent},
    worker::Worker,
};

/// The same act so often in a turn, and a person is asked.
const SAME_ACT: usize = 3;

impl Work<'_> {
    /// Brings a step that was chosen to its end: asks, does, or hands over.
    pub(super) async fn settle(&mut self, step: Step) -> Result<bool, Error> {
        let Some(action) = step.chosen.action.clone() else {
            return self.done(&step, ActionDone::default()).await;
        };
        let Some(act) = &action.act else { return self.done(&step, ActionDone::default()).await };
        let no = |observation: String| ActionDone { ok: false, observation, ..ActionDone::default() };
        match act {
            Act::AskUser(ask) => {
                return match &step.decided {
                    None => {
                        self.ask(
                            String::new(),
                            Pending { question: ask.question.clone(), ..Pending::default() },
                        )
                        .await
                    }
                    Some(said) => {
                        let observation = format!("the person answers: {}", said.text);
                        self.done(&step, ActionDone { ok: true, observation, ..ActionDone::default() }).await
                    }
                };
            }
            Act::Finish(finish) => return self.finish(&step, finish.success, &finish.summary).await,
            _ => {}
        }
        // Whatever a model answered: an agent does what it has and what the policy offers, and names places plainly.
        let (tool, agent) = (action::name(act), self.worker.store.agent(&step.agent_id).await?);
        if !policy::offers(self.task.policy(), tool) || !agent.tools.iter().any(|known| known == tool) {
            return self.done(&step, no(format!("{tool} is not among what you may do"))).await;
        }
        if let Some(path) = action::paths(act).into_iter().find(|path| act::plain(path).is_none()) {
            let why = format!(
                "{path:?} is no path within the workspace: name it without a slash before it and without .."
            );
            return self.done(&step, no(why)).await;
        }
        match &step.decided {
            // The answer to a question that the loop guard asked.
            Some(said) if said.approval_id.is_empty() => {
                return self
                    .done(&step, no(format!("it was not done again; the person says: {}", said.text)))
                    .await;
            }
            Some(said) if !said.allowed => {
                let comment = if said.text.is_empty() { String::new() } else { format!(": {}", said.text) };
                return self.done(&step, no(format!("the person does not allow it{comment}"))).await;
            }
            None if self.memory.times(&action::hash(&action)) >= SAME_ACT => {
                if self.task.policy() == TaskPolicy::Free {
                    let why = format!("the same act ({}) was chosen {SAME_ACT} times", action::name(act));
                    return self.fail(&why).await.map(|()| false);
                }
                let question = format!(
                    "I have chosen the same act {SAME_ACT} times ({}) and it does not get me further. What shall I do?",
                    action::name(act)
                );
                return self.ask(String::new(), Pending { question, ..Pending::default() }).await;
            }
            _ => {}
        }
        let (peers, actor) = (&self.worker.peers, self.actor());
        // From here on nobody else changes what it changes.
        let fence = match act::hold(peers, &actor, act).await? {
            Ok(fence) => fence,
            Err(answer) => return self.done(&step, answer).await,
        };
        let entries =
            if matches!(act, Act::DeletePath(_)) { peers.entries(&actor).await? } else { Vec::new() };
        let deleted = act::deletes(act, &entries);
        // What was begun was allowed: a file by its version, a program by its tree, all else as long as the lock held.
        let by_lock = matches!(act, Act::DeletePath(_) | Act::MovePath(_));
        let begun = self.task.intent.as_ref().is_some_and(|intent| {
            intent["step"] == step.chosen.step && (!by_lock || intent["fence"] == fence)
        });
        let mut allowed_on = String::new();
        if !begun && let Some(reason) = policy::asks(self.task.policy(), act, deleted) {
            // An approval is of this action on this workspace, and of nothing else.
            let tree = peers.snapshot(&actor, "before an approval").await?.tree_sha256;
            let approval_id = hex::encode(Sha256::digest(format!("{}:{tree}", action::hash(&action))));
            if step.decided.as_ref().is_none_or(|said| said.approval_id != approval_id) {
                let diff = act::preview(peers, &actor, act).await?;
                let deleted_files = i32::try_from(deleted).unwrap_or(i32::MAX);
                let pending =
                    Pending { action: Some(action), diff, reason, deleted_files, ..Pending::default() };
                return self.ask(approval_id, pending).await;
            }
            allowed_on = tree;
        }
        if action::writes(act) || matches!(act, Act::RunExec(_)) {
            self.keep_snapshot().await?;
        }
        let removable = policy::removable(self.task.policy());
        let (worker, intent) = (self.worker, self.task.intent.clone());
        let intents = Record { worker, ours: self.ours, kept: &mut self.task.intent };
        let doing = Doing {
            peers: &worker.peers,
            actor: &actor,
            step: step.chosen.step,
            fence,
            allowed_on,
            removable,
            intent,
            intents,
        };
        let done = Box::pin(doing.perform(act)).await?;
        self.done(&step, done).await
    }

    /// Keeps the workspace as it was before the task changed anything.
    async fn keep_snapshot(&mut self) -> Result<(), Error> {
        if self.task.snapshot_id.is_some() {
            return Ok(());
        }
        let snapshot = self.worker.peers.snapshot(&self.actor(), "before an agent's task").await?;
        let snapshot_id = Some(snapshot.snapshot_id.parse().map_err(Fault::internal)?);
        self.record(Change { snapshot_id, ..Change::default() }, Vec::new()).await
    }

    async fn done(&mut self, step: &Step, done: ActionDone) -> Result<bool, Error> {
        let done = ActionDone { step: step.chosen.step, ..done };
        self.record(Change::default(), vec![NewEvent::by(&step.agent_id, Event::Done(done))]).await?;
        Ok(true)
    }

    /// Waits for a person. What the task has locked is free meanwhile.
    pub(super) async fn ask(&mut self, approval_id: String, pending: Pending) -> Result<bool, Error> {
        self.worker.peers.let_go(&self.actor()).await;
        let until = self.worker.clock.now() + self.worker.approval;
        let expires_at = (!approval_id.is_empty()).then(|| devstudio_kit::clock::timestamp(until));
        let pending = Pending { approval_id, expires_at, ..pending };
        let mut events = vec![NewEvent::by(&self.task.agent_id, Event::Waiting(pending.clone()))];
        if !pending.question.is_empty() {
            events.push(NewEvent::message(
                &self.task.agent_id,
                "user",
                MessageKind::Question,
                pending.question.clone(),
            ));
        }
        events.push(NewEvent::state(TaskState::Waiting, pending.reason.clone()));
        self.record(Change { pending: Some(pending), ..Change::default() }, events).await?;
        Ok(false)
    }

    /// An agent has finished: hands over, hands back, or ends the task.
    async fn finish(&mut self, step: &Step, success: bool, summary: &str) -> Result<bool, Error> {
        let began = Instant::now();
        let me = step.agent_id.clone();
        let observation =
            if success { "it says that it has finished" } else { "it says that it is not done" };
        let done = ActionDone {
            step: step.chosen.step,
            ok: true,
            observation: observation.into(),
            ..ActionDone::default()
        };
        let done = NewEvent::by(&me, Event::Done(done));
        let checks = self.way.checker == Some(me.as_str());
        let next = match (checks, success) {
            (false, true) => self.way.checker,
            (true, false) if self.memory.handed_back < MOST_HANDED_BACK => Some(self.way.doer),
            _ => None,
        };
        let Some(next) = next else {
            // A review is done when it has been made, whatever it found.
            let succeeded = success || self.task.kind() == TaskKind::Review;
            let state = if succeeded { TaskState::Succeeded } else { TaskState::Failed };
            return self.end(state, summary, vec![done]).await.map(|()| false);
        };
        // Locks are the task's: the next agent works under them.
        let told = match (success, self.memory.turn().iter().rev().find_map(|step| step.done.as_ref())) {
            (false, Some(last)) if !last.observation.is_empty() => {
                format!("{summary}\n\n{}", last.observation)
            }
            _ => summary.to_owned(),
        };
        let handover = NewEvent::message(&me, next, MessageKind::Handoff, told);
        let change = Change { agent_id: Some(next.to_owned()), ..Change::default() };
        self.record(change, vec![done, handover]).await?;
        self.handed_over = Some(began);
        Ok(true)
    }
}

/// Writes intents into the task's row.
struct Record<'a> {
    worker: &'a Worker,
    ours: (Uuid, Uuid),
    /// The task's own, so that trying again knows it too.
    kept: &'a mut Option<Value>,
}

impl Intents for Record<'_> {
    async fn intend(&mut self, intent: Value) -> Result<(), Error> {
        let change = Change { intent: Some(intent.clone()), ..Change::default() };
        self.worker.store.record(self.ours, self.worker.clock.now(), change, Vec::new()).await?;
        *self.kept = Some(intent);
        Ok(())
    }
}
