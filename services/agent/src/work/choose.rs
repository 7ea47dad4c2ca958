//! What comes next: a model makes a plan, or chooses an action among those that can be taken at the moment.

use std::time::Duration;

use devstudio_kit::{Fault, Reason};
use devstudio_proto::{
    agent::v1::{
        ActionChosen, ActionDone, ContextFile, ContextShown, MessageKind, PlanMade, Progress, Spent,
        TaskEvent, TaskKind, task_event::Event,
    },
    llm::v1::{ChatMessage, ChatRequest},
    sandbox::v1::{Entry, EntryKind},
};
use prost::Message as _;
use serde_json::Value;
use tokio::{sync::watch, time::sleep};
use uuid::Uuid;

use super::{Work, actor};
use crate::{
    Error,
    action::{self, Choice},
    agent_dispatcher::PLANNER,
    chain::ask::{ask, well_ended},
    context::Wanted,
    metrics::HANDOVER,
    policy,
    prompt::{self, Material, tail},
    store::{AgentRow, Change, NewEvent},
};

/// How often a model is asked for one answer: each time it may write less.
const TRIES: usize = 3;
/// Fewer tokens than this are not enough for an answer.
const LEAST_TOKENS: i32 = 128;
/// How often watchers are told how far a model is.
const LIVE_EVERY: Duration = Duration::from_millis(200);
const LIVE_CHARS: usize = 800;

/// What a model answered.
struct Answered<T> {
    value: T,
    spent: Spent,
    /// Tokens of all tries.
    tokens: i32,
}

impl Work<'_> {
    /// Has a plan made, and hands over to whoever follows it.
    pub(super) async fn plan(&mut self) -> Result<bool, Error> {
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
    pub(super) async fn choose(&mut self) -> Result<bool, Error> {
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
        let files = self.worker.contexts.texts(&actor, &shown).await?;
        let choice = self.choice(&agent, &entries, runtimes);
        let mut material = Material {
            task: &self.task,
            agent: &agent,
            memory: &self.memory,
            entries: &entries,
            files,
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
        let step = self.task.steps + 1;
        let refused = answered.value.act.as_ref().and_then(|act| choice.refuses(act));
        let chosen = ActionChosen {
            step,
            action: Some(answered.value),
            spent: Some(answered.spent),
            context: Some(context),
        };
        let change = Change { steps: 1, tokens: answered.tokens, ..Change::default() };
        let mut events = vec![NewEvent::by(&agent.agent_id, Event::Action(chosen))];
        if let Some(observation) = refused {
            let done = ActionDone { step, ok: false, observation, ..ActionDone::default() };
            events.push(NewEvent::by(&agent.agent_id, Event::Done(done)));
        }
        self.record(change, events).await?;
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
                answer = answer => answer,
                () = self.tell_live(&agent.agent_id, phase, shown) => continue,
            };
            let answer = match answer {
                Ok(answer) => answer,
                Err(fault) => {
                    // What this try and those before it cost is spent, whatever came of it.
                    tokens += show.borrow().1;
                    self.record(Change { tokens, ..Change::default() }, Vec::new()).await?;
                    return Err(fault.into());
                }
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
                _ => {
                    self.record(Change { tokens, ..Change::default() }, Vec::new()).await?;
                    well_ended(&answer)?;
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
            // A short answer is told by what came of it.
            sleep(LIVE_EVERY).await;
            let (text, tokens) = shown.borrow_and_update().clone();
            let progress = Progress { step: self.task.steps + 1, text, tokens, phase: phase.to_owned() };
            let event = Some(Event::Progress(progress));
            let event = TaskEvent { agent_id: agent_id.to_owned(), event, ..TaskEvent::default() };
            // Who watches sees the next one.
            let _ = self.worker.store.tell_live(self.task.task_id, &event.encode_to_vec()).await;
        }
        std::future::pending().await
    }
}
