//! What a task knows of itself: its events, put together so that the next step follows from them. Made anew whenever a
//! worker takes a task, so a task whose worker was killed goes on as if nothing had been.

use std::collections::HashMap;

use devstudio_proto::agent::v1::{
    ActionChosen, ActionDone, AgentMessage, Decided, MessageKind, TaskEvent, agent_action::Act,
    task_event::Event,
};

use crate::action;

/// One step of an agent.
#[derive(Debug, Clone)]
pub struct Step {
    /// Whose.
    pub agent_id: String,
    /// What was chosen.
    pub chosen: ActionChosen,
    /// What a person said about it.
    pub decided: Option<Decided>,
    /// It waited for a person.
    pub waited: bool,
    /// What came of it; nothing where it is not done yet.
    pub done: Option<ActionDone>,
}

impl Step {
    /// The act; steps without one are not recorded.
    pub fn act(&self) -> Option<&Act> {
        self.chosen.action.as_ref()?.act.as_ref()
    }
}

/// What happened so far.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    /// The plan.
    pub plan: Option<Vec<String>>,
    /// What a person said about the plan.
    pub plan_decided: Option<Decided>,
    /// All steps, in order.
    pub steps: Vec<Step>,
    /// What agents and people told each other, in order.
    pub messages: Vec<AgentMessage>,
    /// How many steps there were when the present agent's turn began.
    pub turn_began: usize,
    /// How often the work was handed back.
    pub handed_back: usize,
}

impl Memory {
    /// Puts events together.
    pub fn of(events: impl IntoIterator<Item = TaskEvent>) -> Self {
        let mut memory = Self::default();
        for event in events {
            memory.add(event);
        }
        memory
    }

    /// One event more.
    pub fn add(&mut self, event: TaskEvent) {
        let agent_id = event.agent_id;
        match event.event {
            Some(Event::Plan(plan)) => (self.plan, self.plan_decided) = (Some(plan.steps), None),
            Some(Event::Action(chosen)) => {
                self.steps.push(Step { agent_id, chosen, decided: None, waited: false, done: None });
            }
            Some(Event::Waiting(_)) => {
                if let Some(step) = self.open() {
                    step.waited = true;
                }
            }
            Some(Event::Decided(decided)) => match self.open() {
                Some(step) => step.decided = Some(decided),
                None => self.plan_decided = Some(decided),
            },
            Some(Event::Done(done)) => {
                if let Some(step) = self.open() {
                    step.done = Some(done);
                }
            }
            Some(Event::Message(message)) => {
                if message.kind() == MessageKind::Handoff {
                    self.turn_began = self.steps.len();
                    self.handed_back += usize::from(self.messages.iter().any(|m| {
                        m.kind() == MessageKind::Handoff && m.from == message.to && m.to == message.from
                    }));
                }
                self.messages.push(message);
            }
            Some(Event::State(_) | Event::Progress(_)) | None => {}
        }
    }

    fn open(&mut self) -> Option<&mut Step> {
        self.steps.last_mut().filter(|step| step.done.is_none())
    }

    /// The step that was chosen and is not done.
    pub fn undone(&self) -> Option<&Step> {
        self.steps.last().filter(|step| step.done.is_none())
    }

    /// Steps of the present agent's turn.
    pub fn turn(&self) -> &[Step] {
        &self.steps[self.turn_began.min(self.steps.len())..]
    }

    /// A file was changed by this task.
    pub fn has_written(&self) -> bool {
        self.steps.iter().any(|step| {
            step.done.as_ref().is_some_and(|done| done.ok) && step.act().is_some_and(action::writes)
        })
    }

    /// The last run of this turn: did it end well? Nothing where there was none.
    pub fn last_run(&self) -> Option<bool> {
        let runs = self.turn().iter().rev().filter(|step| matches!(step.act(), Some(Act::RunExec(_))));
        runs.filter_map(|step| step.done.as_ref()).map(|done| done.ok && done.exit_code == 0).next()
    }

    /// How often an act was done in this turn since a person was last asked.
    pub fn times(&self, hash: &str) -> usize {
        let mut times: HashMap<String, usize> = HashMap::new();
        for step in self.turn() {
            if step.decided.is_some() {
                times.clear();
                continue;
            }
            if let Some(action) = &step.chosen.action {
                *times.entry(action::hash(action)).or_default() += 1;
            }
        }
        times.get(hash).copied().unwrap_or_default()
    }
}
