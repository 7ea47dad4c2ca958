//! The work on one task: plan, then choose, do and look, step by step, until an agent says that it has finished.
//!
//! Each turn of the loop does one thing and writes it down; whatever is not written down was not done. So the loop may
//! be dropped at any point (a cancel, a kill) and begun anew.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use devstudio_kit::{Fault, Reason};
use devstudio_proto::{
    agent::v1::{
        ActionChosen, ActionDone, ContextFile, ContextReason, ContextShown, MessageKind, Pending, PlanMade,
        Progress, Spent, TaskEvent, TaskKind, TaskPolicy, TaskState, agent_action::Act, task_event::Event,
    },
    llm::v1::{ChatMessage, ChatRequest},
    sandbox::v1::{Entry, EntryKind},
};
use prost::Message as _;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::{sync::watch, time::sleep};
use uuid::Uuid;

use crate::{
    Error,
    act::{self, Doing, Intents},
    action::{self, Choice},
    agent_dispatcher::{MOST_HANDED_BACK, PLANNER, Way, way},
    chain::ask::ask,
    context::Wanted,
    memory::{Memory, Step},
    metrics::HANDOVER,
    peers::Actor,
    policy,
    prompt::{self, Material, tail},
    store::{AgentRow, Change, NewEvent},
    task::Task,
    worker::Worker,
};

/// How often a model is asked for one answer: each time it may write less.
const TRIES: usize = 3;
/// The same act so often in a turn, and a person is asked.
const SAME_ACT: usize = 3;
/// Fewer tokens than this are not enough for an answer.
const LEAST_TOKENS: i32 = 128;
/// How often what fails for a while is tried again, and how long it is waited for at most.
const AGAIN: u32 = 8;
const LONGEST_PAUSE: Duration = Duration::from_secs(8);
/// How often watchers are told how far a model is.
const LIVE_EVERY: Duration = Duration::from_millis(200);
const LIVE_CHARS: usize = 800;

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

/// What a model answered.
struct Answered<T> {
    value: T,
    spent: Spent,
    /// Tokens of all tries.
    tokens: i32,
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
        self.memory = Memory::of(self.worker.store.events(self.task.task_id, 0, i64::MAX).await?);
        // Told once, however often a killed worker's task is taken up.
        if self.memory.state != Some(TaskState::Running) {
            self.record(Change::default(), vec![NewEvent::state(TaskState::Running, "")]).await?;
        }
        let mut failures = 0;
        loop {
            match Box::pin(self.step()).await {
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
                    return self
                        .ask(
                            approval_id,
                            Pending {
                                reason: "this task asks before it begins".into(),
                                ..Pending::default()
                            },
                        )
                        .await;
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
        // A lock that cannot be released now ends by itself.
        if let Err(fault) = self.worker.peers.unlock_all(&self.actor()).await {
            tracing::warn!(%fault, "locks of a task could not be released");
        }
        let kind = if state == TaskState::Succeeded { MessageKind::Result } else { MessageKind::Error };
        events.push(NewEvent::message(&self.task.agent_id, "user", kind, result));
        events.push(NewEvent::state(state, if state == TaskState::Failed { result } else { "" }));
        self.record(Change { ended: Some((state, result.to_owned())), ..Change::default() }, events).await?;
        self.worker.ended(&self.task, state, result);
        Ok(())
    }

    /// Has a plan made, and hands over to whoever follows it.
    async fn plan(&mut self) -> Result<bool, Error> {
        let planner = self.worker.store.agent(PLANNER).await?;
        let entries = self.worker.peers.entries(&actor(&self.task, PLANNER)).await?;
        let messages = prompt::plan(&self.task, &planner, &self.memory, &entries);
        let schema = |_| action::plan_schema();
        let Some(answered) =
            self.ask_model(&planner, "planning", messages, schema, action::read_plan).await?
        else {
            return Ok(false);
        };
        let steps: Vec<String> = answered.value.into_iter().map(|step| step.replace('\0', "")).collect();
        let handover = NewEvent::message(PLANNER, self.way.doer, MessageKind::Handoff, steps.join("\n"));
        let change = Change {
            agent_id: Some(self.way.doer.to_owned()),
            tokens: answered.tokens,
            plan: Some(steps.clone()),
            ..Change::default()
        };
        let made = NewEvent::by(PLANNER, Event::Plan(PlanMade { steps, spent: Some(answered.spent) }));
        self.record(change, vec![made, handover]).await?;
        Ok(true)
    }

    /// Has the next action chosen.
    async fn choose(&mut self) -> Result<bool, Error> {
        if self.task.steps >= self.task.max_steps {
            let why = format!("the {} steps are used up", self.task.max_steps);
            return self.fail(&why).await.map(|()| false);
        }
        if let Some(at) = self.handed_over.take() {
            HANDOVER.with_label_values(&[self.task.kind.as_str()]).observe(at.elapsed().as_secs_f64());
        }
        let agent = self.worker.store.agent(&self.task.agent_id).await?;
        let (peers, actor) = (&self.worker.peers, self.actor());
        let entries = peers.entries(&actor).await?;
        let runtimes: Vec<String> = match agent.tools.iter().any(|tool| tool == "run_exec") {
            true => peers.runtimes(&actor).await?.into_keys().collect(),
            false => Vec::new(),
        };
        let wanted = Wanted {
            prompt: &self.task.prompt,
            paths: &self.task.paths,
            memory: &self.memory,
            entries: &entries,
        };
        let (shown, searched) = self.worker.contexts.choose(&actor, &wanted, &mut self.alike).await?;
        let mut files = Vec::new();
        for (path, _) in shown.clone() {
            if let Some(text) = peers.file(&actor, &path).await?.and_then(|file| file.text) {
                files.push((path, text));
            }
        }
        let choice = self.choice(&agent, &entries, runtimes);
        let mut material = Material {
            task: &self.task,
            agent: &agent,
            memory: &self.memory,
            entries: &entries,
            files: prompt::bounded(files),
            left_out: 0,
        };
        let (model, answer_tokens) = (self.model(&agent), agent.max_tokens);
        let (messages, tokens) = loop {
            let messages = material.messages();
            let (tokens, context) = peers.count(&actor, &model, messages.clone()).await?;
            if tokens + answer_tokens.min(context / 2) <= context {
                break (messages, tokens);
            }
            if !material.shrink() {
                let fault =
                    Fault::new(Reason::ContextOverflow, "the task does not fit into the model's context");
                return Err(fault.with("prompt_tokens", tokens).with("context_size", context).into());
            }
        };
        let context = ContextShown {
            files: shown
                .into_iter()
                .filter(|(path, _)| material.files.iter().any(|(shown, _)| shown == path))
                .map(|(path, reason)| ContextFile { path, reason: reason.into(), tokens: 0 })
                .collect(),
            tokens,
            steps_left_out: material.left_out as i32,
        };
        if searched > 0 {
            self.record(Change { tokens: searched, ..Change::default() }, Vec::new()).await?;
        }
        let schema = |shorter| action::schema(&Choice { shorter, ..choice.clone() });
        let Some(answered) = self.ask_model(&agent, "deciding", messages, schema, action::read).await? else {
            return Ok(false);
        };
        let chosen = ActionChosen {
            step: self.task.steps + 1,
            action: Some(answered.value),
            spent: Some(answered.spent),
            context: Some(context),
        };
        let change = Change { steps: 1, tokens: answered.tokens, ..Change::default() };
        self.record(change, vec![NewEvent::by(&agent.agent_id, Event::Action(chosen))]).await?;
        Ok(true)
    }

    /// What the agent may choose from now: what it has, what the policy allows, what there is, and what is not too early.
    fn choice(&self, agent: &AgentRow, entries: &[Entry], runtimes: Vec<String>) -> Choice {
        let policy = self.task.policy();
        let files = entries.iter().filter(|e| e.kind() == EntryKind::File);
        let paths: Vec<String> = files.map(|entry| entry.path.clone()).collect();
        let ran = self.memory.last_run();
        let checks = self.way.checker == Some(agent.agent_id.as_str()) || self.task.kind() == TaskKind::Test;
        let must_write =
            self.way.writes && self.way.doer == agent.agent_id && policy::offers(policy, "write_file");
        let can = |tool: &str| match tool {
            _ if !policy::offers(policy, tool) => false,
            "edit_file" | "delete_path" | "move_path" | "read_file" | "search" => !paths.is_empty(),
            // Where there is nothing yet, whoever has to write begins with a file.
            "run_exec" if must_write && paths.is_empty() => false,
            "run_exec" => !runtimes.is_empty(),
            // Whoever tests has to have run something.
            "finish" if checks && !runtimes.is_empty() && policy::offers(policy, "run_exec") => {
                ran.is_some()
                    || !agent.tools.iter().any(|tool| tool == "run_exec")
                    || agent.agent_id == "reviewer"
            }
            "finish" if must_write => self.memory.has_written(),
            _ => true,
        };
        let mut tools: Vec<String> = agent.tools.iter().filter(|tool| can(tool)).cloned().collect();
        if tools.is_empty() {
            tools.push("finish".to_owned());
        }
        // A test that failed cannot be called a success.
        let success = (checks && ran == Some(false)).then_some(false);
        Choice { tools, paths, runtimes, success, shorter: 1 }
    }

    fn model(&self, agent: &AgentRow) -> String {
        if self.task.model.is_empty() { agent.model.clone() } else { self.task.model.clone() }
    }

    /// Has a model answer within a schema, up to three times: an answer that was cut short is asked for anew with shorter
    /// bounds. Nothing where the task ended over it.
    async fn ask_model<T>(
        &mut self,
        agent: &AgentRow,
        phase: &str,
        messages: Vec<ChatMessage>,
        schema: impl Fn(usize) -> Value,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<Answered<T>>, Error> {
        let actor = actor(&self.task, &agent.agent_id);
        let (mut shorter, mut tokens, mut problem) = (1, 0, String::new());
        for _ in 0..TRIES {
            let left = self.task.max_tokens - self.task.tokens - tokens;
            if left < LEAST_TOKENS {
                self.record(Change { tokens, ..Change::default() }, Vec::new()).await?;
                let why = format!("the {} tokens of the task are used up", self.task.max_tokens);
                return self.fail(&why).await.map(|()| None);
            }
            let request_id = Uuid::now_v7();
            let request = ChatRequest {
                messages: messages.clone(),
                model: self.model(agent),
                max_tokens: agent.max_tokens.min(left),
                temperature: Some(agent.temperature),
                response_schema: schema(shorter).to_string(),
                ..ChatRequest::default()
            };
            let (show, shown) = watch::channel((String::new(), 0));
            let path = format!("{}/{}.{phase}", agent.agent_id, self.task.steps + 1);
            let answer = ask(&self.worker.peers, &actor, &path, request_id, request, |text, tokens| {
                show.send_replace((tail(text, LIVE_CHARS), tokens));
            });
            let answer = tokio::select! {
                answer = answer => answer?,
                () = self.tell_live(&agent.agent_id, phase, shown) => continue,
            };
            let usage = answer.usage.unwrap_or_default();
            tokens += usage.prompt_tokens + usage.completion_tokens;
            match answer.finish_reason.as_str() {
                "stop" => match read(&answer.text) {
                    Ok(value) => {
                        let spent = Spent {
                            prompt_tokens: usage.prompt_tokens,
                            completion_tokens: usage.completion_tokens,
                            model: answer.model,
                            request_id: request_id.to_string(),
                            total_ms: answer.timings.map_or(0, |timings| timings.total_ms),
                        };
                        return Ok(Some(Answered { value, spent, tokens }));
                    }
                    Err(why) => problem = why,
                },
                "length" => problem = "it was cut short".to_owned(),
                "budget" => {
                    self.record(Change { tokens, ..Change::default() }, Vec::new()).await?;
                    return self
                        .fail("TOKEN_BUDGET_EXCEEDED: the token budget is used up")
                        .await
                        .map(|()| None);
                }
                other => {
                    self.record(Change { tokens, ..Change::default() }, Vec::new()).await?;
                    let fault =
                        Fault::new(Reason::UpstreamUnavailable, format!("the model ended with {other:?}"));
                    return Err(fault.with("service", "llm").into());
                }
            }
            tracing::info!(problem, shorter, "an answer of a model was no action");
            shorter *= 4;
        }
        self.record(Change { tokens, ..Change::default() }, Vec::new()).await?;
        let why = format!("the model gave no valid answer in {TRIES} tries: {problem}");
        self.fail(&why).await.map(|()| None)
    }

    /// Tells watchers how far the model is, as long as it writes.
    async fn tell_live(&self, agent_id: &str, phase: &str, mut shown: watch::Receiver<(String, i32)>) {
        while shown.changed().await.is_ok() {
            let (text, tokens) = shown.borrow_and_update().clone();
            let progress = Progress { step: self.task.steps + 1, text, tokens, phase: phase.to_owned() };
            let event = Some(Event::Progress(progress));
            let event = TaskEvent { agent_id: agent_id.to_owned(), event, ..TaskEvent::default() };
            // Who watches sees the next one.
            let _ = self.worker.store.tell_live(self.task.task_id, &event.encode_to_vec()).await;
            sleep(LIVE_EVERY).await;
        }
        std::future::pending().await
    }

    /// Brings a step that was chosen to its end: asks, does, or hands over.
    async fn settle(&mut self, step: Step) -> Result<bool, Error> {
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
        let entries =
            if matches!(act, Act::DeletePath(_)) { peers.entries(&actor).await? } else { Vec::new() };
        let deleted = act::deletes(act, &entries);
        let reason = policy::asks(self.task.policy(), act, deleted);
        if let Some(reason) = reason {
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
        }
        if action::writes(act) || matches!(act, Act::RunExec(_)) {
            self.keep_snapshot().await?;
        }
        let actor = self.actor();
        let intents = Record { worker: self.worker, ours: self.ours };
        let intent = self.task.intent.clone();
        let doing =
            Doing { peers: &self.worker.peers, actor: &actor, step: step.chosen.step, intent, intents };
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
    async fn ask(&mut self, approval_id: String, pending: Pending) -> Result<bool, Error> {
        if let Err(fault) = self.worker.peers.unlock_all(&self.actor()).await {
            tracing::warn!(%fault, "locks of a task could not be released");
        }
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
}

impl Intents for Record<'_> {
    fn intend(&mut self, intent: Value) -> impl Future<Output = Result<(), Error>> + Send {
        let change = Change { intent: Some(intent), ..Change::default() };
        self.worker.store.record(self.ours, self.worker.clock.now(), change, Vec::new())
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
